"""The backends, a folder each; the seam they fit (``base``) and the registry that finds them by name."""
