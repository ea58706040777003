"""What the page draws of one inference: its files (files.py) as bytes to paint, histograms and tests.

A picture to paint is ``{"shape": [C, H, W], "bytes": base64}``, one byte an element. Of a share that is the 8 highest
bits of its l; of a value, its place between the least and the largest.
"""

import base64
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pi_system.artifact.graph import Relu
from pi_system.artifact.model import PublicArtifact, PublicModel
from pi_system.demo.files import INPUT_FILE, SENT_FILE, SERVER_FILE, SHARES_FILE
from pi_system.demo.uniform import VALUES, judge, low_bytes
from pi_system.errors import InputError
from pi_system.program.encoding import encode_input
from pi_system.ring.carrier import Ring, RingArray

_LEAST_BYTES = 5 * VALUES
"""Of a chi-square test: five expected of every value."""


class View:
    """An inference that has ended."""

    def __init__(self, public: PublicArtifact, folder: Path):
        """``folder``: of the run."""
        self._model: PublicModel = public.public
        self._ring = Ring(self._model.ring.ring_bits)
        self._input = np.load(folder / INPUT_FILE)
        self._sent = np.frombuffer((folder / SENT_FILE).read_bytes(), self._ring.dtype)
        self._client, self._server = load_file(folder / SHARES_FILE), load_file(folder / SERVER_FILE)

    def picture(self) -> dict[str, Any]:
        """What the client has, what the server receives of it, and how both fare in the test."""
        encoded = encode_input(self._input[None], self._model.graph, self._model.ring)
        shape = self._model.graph.input.shape
        return {
            "ring_bits": self._ring.bits,
            "sent_bytes": self._sent.nbytes,
            "input": _painted(_scaled(self._pixels()), shape),
            "masked": _painted(self._high(self._sent), shape),
            "plain_test": self._tested(self._ring.from_signed(encoded)),
            "masked_test": self._tested(self._sent),
        }

    def layers(self) -> list[dict[str, Any]]:
        """The layers whose shares both parties were seen to hold, in order."""
        return [
            {"name": node.name, "kind": node.op, "relus": node.active if isinstance(node, Relu) else 0}
            for node in self._model.graph
            if node.name in self._client and node.name in self._server
        ]

    def layer(self, name: str) -> dict[str, Any]:
        """Both shares of a layer's value, and the value. Raises InputError: no such layer."""
        shapes = {node.name: node.shape for node in self._model.graph}
        if name not in shapes or name not in self._client or name not in self._server:
            raise InputError(f"layer: expected one of the network's, found {name!r:.80}")
        server, client, shape = self._server[name], self._client[name], shapes[name]
        value = self._ring.to_signed(server + client) * 2.0 ** -self._model.ring.frac_bits[name]
        return {
            "name": name,
            "shape": list(shape),
            "server": _painted(self._high(server), shape) | {"test": self._tested(server)},
            "client": _painted(self._high(client), shape) | {"test": self._tested(client)},
            "value": _painted(_scaled(value), shape) | {"least": float(value.min()), "largest": float(value.max())},
        }

    def _pixels(self) -> NDArray[np.float32]:
        """The preprocessed picture in [0, 1]."""
        preprocess = self._model.preprocess
        mean, std = (np.asarray(part, np.float32)[:, None, None] for part in (preprocess.mean, preprocess.std))
        pixels: NDArray[np.float32] = np.clip(self._input * std + mean, 0, 1)
        return pixels

    def _high(self, elements: RingArray) -> NDArray[np.uint8]:
        shift = self._ring.dtype.type(self._ring.bits - 8)
        high: NDArray[np.uint8] = (self._ring.reduce(elements) >> shift).astype(np.uint8)
        return high

    def _tested(self, elements: RingArray) -> dict[str, Any] | None:
        """The test on all whole bytes; None: they are too few."""
        data = low_bytes(self._ring.reduce(elements), self._ring.bits)
        if data.size < _LEAST_BYTES:
            return None
        found = judge(data)
        chi_square = {"statistic": found.statistic, "p": found.p, "uniform": found.uniform}
        return {"bytes": data.size, "counts": found.counts, **chi_square}


def _scaled(values: NDArray[Any]) -> NDArray[np.uint8]:
    """From the least to the largest; pixels in [0, 1] as they are."""
    least, largest = (0.0, 1.0) if values.dtype == np.float32 else (float(values.min()), float(values.max()))
    return np.rint(255 * (values - least) / (largest - least or 1.0)).astype(np.uint8)


def _painted(data: NDArray[np.uint8], shape: tuple[int, ...]) -> dict[str, Any]:
    """A vector is painted as one row."""
    sizes = shape if len(shape) == 3 else (1, 1, shape[0])
    return {"shape": list(sizes), "bytes": base64.b64encode(data.tobytes()).decode()}
