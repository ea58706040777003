"""pi_system.channel."""
