"""pi_system."""
