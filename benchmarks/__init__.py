"""Measurements, each a script of its own. A package by this file, because Devito installs one of the same name."""
