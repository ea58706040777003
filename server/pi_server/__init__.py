"""``pi-server``: the model owner's program. A supervisor gives places; each worker serves one session."""
