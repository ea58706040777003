"""Protocols of two parties, a folder each, their sources in its docstring; none does input or output."""
