"""pi_system.offline."""
