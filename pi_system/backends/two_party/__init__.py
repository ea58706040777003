"""Backends ``gmw`` and ``gc``: no third party; oblivious transfer and homomorphic encryption offline."""
