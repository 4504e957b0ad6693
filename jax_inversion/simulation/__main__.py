"""A worker process, started by ``workers.run`` only."""

from .workers import serve

serve()
