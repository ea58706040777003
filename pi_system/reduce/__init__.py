"""pi_system.reduce."""
