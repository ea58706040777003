"""pi_system.backends."""
