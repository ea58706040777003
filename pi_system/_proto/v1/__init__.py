"""pi_system._proto.v1."""
