"""pi_system.cli."""
