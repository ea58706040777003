"""Where each piece of one party's material lies in its bundle: computed from the schedule, never read from a file."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from mmap import MADV_DONTNEED, PAGESIZE, mmap

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


class BundleDraft:
    """One party's material for one inference while it is made: every piece goes to its file as it comes."""

    def __init__(self, layout: Layout, descriptor: int, start: int):
        """``descriptor``: of a file that has room for the bundle from byte ``start``."""
        self.layout = layout
        self._descriptor, self._start = descriptor, start

    def size(self, name: str) -> int:
        """Bytes of a section."""
        return self.layout.offsets[name][1]

    def section(self, name: str) -> NDArray[np.uint8]:
        """A copy of a section that is filled, for small ones."""
        at, size = self.layout.offsets[name]
        return np.frombuffer(os.pread(self._descriptor, size, self._start + at), np.uint8)

    def fill(self, name: str, data: memoryview | bytes) -> None:
        """Write a section, ``data`` of its size. Raises CorrelationMismatchError or OSError."""
        at, size = self.layout.offsets[name]
        if len(data) != size:
            raise CorrelationMismatchError(f"section {name}: expected {size} bytes, found {len(data)}")
        self._write(memoryview(data), at)

    def keep(self, gate: str, material: Material, shapes: Shapes) -> None:
        """Write a gate's material. Raises CorrelationMismatchError or OSError."""
        check_material(material, shapes)
        at, _ = self.layout.offsets[f"{gate}/material"]
        for name in shapes:
            array = np.ascontiguousarray(material[name])
            self._write(array.data, at)
            at += array.nbytes

    def _write(self, data: memoryview, at: int) -> None:
        left = data.cast("B") if data.nbytes else data[:0]
        while left.nbytes:  # the system writes 2 GiB at once at most
            written = os.pwrite(self._descriptor, left, self._start + at)
            left, at = left[written:], at + written


class Bundle:
    """One party's material for one inference while it is used: mapped from its file, so that memory holds what is read.

    Pieces of it may be written, which changes the memory of this process alone.
    """

    def __init__(self, layout: Layout, mapping: mmap, start: int):
        """``mapping``: private to this process; the bundle is in it from byte ``start``."""
        self.layout = layout
        self._mapping, self._start = mapping, start
        self._taken: set[str] = set()

    def section(self, name: str) -> NDArray[np.uint8]:
        """The bytes of one section, as a writable view."""
        at, size = self.layout.offsets[name]
        return np.frombuffer(self._mapping, np.uint8, size, self._start + at)

    def take(self, gate: str, shapes: Shapes) -> Material:
        """The arrays of a gate's material, as views, once. Raises CorrelationReusedError."""
        if gate in self._taken:
            raise CorrelationReusedError(f"material of {gate}: expected unused, found taken")
        self._taken.add(gate)
        return unpack_material(self.section(f"{gate}/material").data, shapes)

    def drop(self, gate: str) -> None:
        """A gate's material was used: memory need not hold it any longer."""
        at, size = self.layout.offsets[f"{gate}/material"]
        first = -(-(self._start + at) // PAGESIZE) * PAGESIZE
        last = (self._start + at + size) // PAGESIZE * PAGESIZE
        if first < last:
            self._mapping.madvise(MADV_DONTNEED, first, last - first)
