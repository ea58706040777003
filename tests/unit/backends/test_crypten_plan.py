import json

import pytest

from pi_system.backends.crypten.plan import (
    AdditiveTriple,
    BinaryTriple,
    CorrelationPlan,
    SharedBit,
    SquarePair,
    decode_plan,
    encode_plan,
)
from pi_system.errors import RemoteProtocolError

PLAN = CorrelationPlan(
    items=(
        AdditiveTriple(
            op="conv2d", left=(1, 4, 5, 5), right=(6, 2, 3, 3), stride=(2, 2), padding=(1, 0), groups=2
        ),
        AdditiveTriple(op="matmul", left=(1, 7), right=(7, 3)),
        AdditiveTriple(op="mul", left=(2, 3), right=(2, 3)),
        BinaryTriple(shape=(2, 1, 9)),
        SharedBit(shape=(4,)),
        SquarePair(shape=(1, 5)),
    )
)  # fmt: skip


def test_request_round_trip() -> None:
    assert decode_plan(encode_plan(PLAN)) == PLAN


def test_result_shapes_and_bytes() -> None:
    shapes = [item.result_shape() for item in PLAN.items]
    assert shapes == [(1, 6, 3, 2), (1, 3), (2, 3), (2, 1, 9), (4,), (1, 5)]
    assert PLAN.correction_bytes() == 8 * (36 + 3 + 6 + 18 + 4 + 5)


def _request(**item: object) -> bytes:
    return json.dumps({"backend": "crypten", "version": 1, "ring_bits": 64, "items": [item]}).encode()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"\xff\xfe",
        b"{}",
        b'{"backend":"fss","version":1,"ring_bits":64,"items":[]}',
        b'{"backend":"crypten","version":2,"ring_bits":64,"items":[]}',
        b'{"backend":"crypten","version":1,"ring_bits":32,"items":[]}',
        _request(kind="cube", shape=[3]),
        _request(kind="square", shape=[0]),
        _request(kind="binary", shape=[0]),
        _request(kind="binary", shape=[-1]),
        _request(kind="binary", shape=[1] * 9),
        _request(kind="binary", shape=[1 << 15, 1 << 15]),
        _request(kind="binary", shape=[4], extra=1),
        _request(kind="additive", op="einsum", left=[4], right=[4]),
        _request(kind="additive", op="matmul", left=[2, 3], right=[2, 3]),
        _request(kind="additive", op="matmul", left=[1 << 20, 1], right=[1, 1 << 20]),
        _request(kind="additive", op="conv2d", left=[1, 3, 4, 4], right=[2, 2, 3, 3]),
        _request(kind="additive", op="mul", left=[4], right=[4], stride=[1, 1]),
        b" " * (17 << 20),
    ],
)
def test_bad_requests_are_refused(request_bytes: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_plan(request_bytes)
