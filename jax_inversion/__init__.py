"""Seismic shot gathers in, velocity models out."""

__version__ = "0.1.0"
