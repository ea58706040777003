"""pi_system.artifact."""
