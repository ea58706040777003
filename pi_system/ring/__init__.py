"""Z_{2^l} on numpy carriers, and the one source of randomness."""
