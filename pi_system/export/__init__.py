"""pi_system.export."""
