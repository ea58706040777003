"""Bundles of chosen content in stores, and what is kept of one."""

from typing import Any

import numpy as np

from pi_system.secure.layout import Layout


def put(store: Any, material_id: str, layout: Layout, value: int = 0) -> None:
    """Store a bundle whose bytes are all ``value``."""
    with store.making(material_id, layout) as draft:
        for name, (_, size) in layout.offsets.items():
            draft.fill(name, np.full(size, value, np.uint8).data)
