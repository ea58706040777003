"""pi_system.program."""
