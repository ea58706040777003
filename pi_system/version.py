"""The version of everything two processes exchange and of what they keep of it."""

from typing import Final

PROTOCOL_VERSION: Final = 12
"""Raised with every change of a message, of a protocol or of the layout of material: processes of different versions
refuse each other, and material and caches of another version are not read (secure/kept.py)."""
