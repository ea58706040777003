"""Backends ``gmw``, ``gc`` and ``table``: no third party; oblivious transfer and homomorphic encryption offline."""
