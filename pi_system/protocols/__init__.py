"""pi_system.protocols."""
