"""Propagators that ours is measured against, each run in a process of its own."""
