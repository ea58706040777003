"""``pi-server``: the model owner's program. A supervisor keeps one idle worker process; a worker serves one session."""
