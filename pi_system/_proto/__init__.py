"""pi_system._proto."""
