"""pi_system.ring."""
