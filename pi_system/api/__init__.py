"""The public Python API: compile, simulate, serve and ask; ``pi_system`` has its names (docs/python-api.md)."""
