"""pi_system.train."""
