"""The command lines of ``pi-train`` and ``pi-dealer``, and what all four programs share."""
