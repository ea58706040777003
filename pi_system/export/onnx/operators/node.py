"""A node of an ONNX file, as rules read it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from pi_system.errors import UnsupportedLayerError
from pi_system.export.onnx.builder import Builder, Traced

__all__ = ["Node", "Rule", "Value"]

Value: TypeAlias = Traced | NDArray[Any] | None
Rule: TypeAlias = Callable[[Builder, "Node", list[Any]], Value | list[Value]]


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the file.

    Attributes:
        name: its own, or its operator and number.
        op: operator.
        attributes: by name.
        version: of the operator set.
        outputs: how many.
    """

    name: str
    op: str
    attributes: dict[str, Any]
    version: int
    outputs: int = 1

    @classmethod
    def of(cls, entry: Any, index: int, version: int) -> "Node":
        """Read a NodeProto."""
        attributes = {one.name: onnx.helper.get_attribute_value(one) for one in entry.attribute}
        name = entry.name or f"{entry.op_type}_{index}"
        return cls(name, entry.op_type, attributes, version, len(entry.output))

    def integer(self, name: str, default: int) -> int:
        """An attribute."""
        return int(self.attributes.get(name, default))

    def number(self, name: str, default: float) -> float:
        """An attribute."""
        return float(self.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        """An attribute."""
        value = self.attributes.get(name, default.encode())
        return str(value.decode())

    def integers(self, name: str, default: list[int]) -> list[int]:
        """An attribute."""
        return [int(value) for value in self.attributes.get(name, default)]

    def listed(self, name: str, given: list[Any], position: int) -> list[int] | None:
        """Integers that are an attribute in older operator sets and an input in newer ones; None: they are neither."""
        if name in self.attributes:
            return self.integers(name, [])
        if len(given) > position and given[position] is not None:
            return [int(value) for value in self.constant(given[position], name).reshape(-1)]
        return None

    def require(self, name: str, default: int, expected: int) -> None:
        """Refuse another value of an attribute."""
        if self.integer(name, default) != expected:
            raise self.refused(f"{name}={expected}", f"{self.integer(name, default)}")

    def refused(self, expected: str, found: str) -> UnsupportedLayerError:
        """The error that names this node."""
        return UnsupportedLayerError(f"node {self.name}, {self.op}: expected {expected}, found {found}")

    def constant(self, value: Any, what: str) -> NDArray[Any]:
        """``value``, which must not depend on the network's input."""
        if not isinstance(value, np.ndarray):
            raise self.refused(f"constant {what}", "a value of the network" if value is not None else "none")
        return value
