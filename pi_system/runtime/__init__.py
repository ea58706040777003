"""pi_system.runtime."""
