"""``pi-client``: the picture owner's program. Pictures, sessions, prepared material, results and profiles."""
