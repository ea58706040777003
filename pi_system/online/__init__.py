"""pi_system.online."""
