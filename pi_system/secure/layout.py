"""Where each piece of one party's material lies in its bundle: computed from the schedule, never read from a file."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pi_system.errors import CorrelationMismatchError, CorrelationReusedError
from pi_system.protocols.material import Material, Shapes, check_material, unpack_material

_ALIGN = 64
"""Cache line and 512-bit vector: kernels stream keys with aligned loads."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte ranges of named sections in one aligned buffer."""

    offsets: dict[str, tuple[int, int]]
    nbytes: int

    @classmethod
    def of(cls, sections: Iterable[tuple[str, int]]) -> "Layout":
        """Lay out (name, bytes) sections one after the other, each aligned.

        Raises:
            ValueError: two sections have one name.
        """
        offsets: dict[str, tuple[int, int]] = {}
        end = 0
        for name, size in sections:
            if name in offsets:
                raise ValueError(f"expected a name a section, found two of {name}")
            offsets[name] = (end, size)
            end += -(-size // _ALIGN) * _ALIGN
        return cls(offsets, max(end, _ALIGN))


class Bundle:
    """One party's material for one inference: an aligned buffer with named sections."""

    def __init__(self, layout: Layout):
        """Allocate an aligned buffer for ``layout``."""
        raw = np.empty(layout.nbytes + _ALIGN, np.uint8)
        start = -raw.ctypes.data % _ALIGN
        self.layout = layout
        self._taken: set[str] = set()
        self.body: NDArray[np.uint8] = raw[start : start + layout.nbytes]

    def section(self, name: str) -> NDArray[np.uint8]:
        """The bytes of one section, as a writable view."""
        start, size = self.layout.offsets[name]
        return self.body[start : start + size]

    def fill(self, name: str, data: memoryview | bytes) -> None:
        """Copy ``data`` into a section of the same size."""
        section = self.section(name)
        if len(data) != section.nbytes:
            raise CorrelationMismatchError(f"section {name}: expected {section.nbytes} bytes, found {len(data)}")
        section[:] = np.frombuffer(data, np.uint8)

    def take(self, gate: str, shapes: Shapes) -> Material:
        """The arrays of a gate's material, as views, once. Raises CorrelationReusedError."""
        if gate in self._taken:
            raise CorrelationReusedError(f"material of {gate}: expected unused, found taken")
        self._taken.add(gate)
        return self._arrays(gate, shapes)

    def keep(self, gate: str, material: Material, shapes: Shapes) -> None:
        """Copy a gate's material into its section. Raises CorrelationMismatchError."""
        check_material(material, shapes)
        for name, array in self._arrays(gate, shapes).items():
            array[...] = material[name]

    def _arrays(self, gate: str, shapes: Shapes) -> Material:
        return unpack_material(self.section(f"{gate}/material").data, shapes)
