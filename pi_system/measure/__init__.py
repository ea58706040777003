"""pi_system.measure."""
