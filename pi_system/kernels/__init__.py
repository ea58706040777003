"""pi_system.kernels."""
