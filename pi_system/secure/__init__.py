"""What the fast backends share: the walk over shares, its schedule, material at rest, the online phase."""
