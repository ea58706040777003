"""pi_system.rpc."""
