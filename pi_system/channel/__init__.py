"""Messages between two parties: the ``Channel`` seam, a pair in memory, counters, profiles, an imitated link."""
