"""The public Python API: compile, simulate, serve, ask; ``pi_system`` has its names (docs/reference/python-api.md)."""
