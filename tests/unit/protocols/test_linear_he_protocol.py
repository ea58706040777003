"""The protocol between two halves: shares, declared cost, several inferences, bad messages."""

from typing import Any

import numpy as np
import pytest
from halves import run_alone, run_halves
from ideal_linear import ideal_linear
from layers import conv3

from pi_system.errors import (
    ConfigError,
    FixedPointRangeError,
    InputError,
    LocalProtocolError,
    RemoteProtocolError,
)
from pi_system.kernels.cores import using_threads
from pi_system.kernels.he import rlwe_paths
from pi_system.program.encoding import weight_norm_bits
from pi_system.protocols.half import Half, in_turn
from pi_system.protocols.linear_he import (
    LinearHeClient,
    LinearHeServer,
    LinearHeSession,
    LinearPlan,
    LinearShape,
    linear_he_cost,
    plan_linear,
    plan_together,
)
from pi_system.ring.prg import Prg, fresh_seed

LAYERS = [
    conv3("stem", "in", 3, 16, out=5),
    conv3("conv", "r", 5, 16, out=6, stride=2),
    LinearShape(name="shortcut", source="r", in_channels=5, out_channels=6, in_size=(16, 16), stride=(2, 2)),
    conv3("depthwise", "d", 6, 8, out=6, groups=6),
    LinearShape(
        name="bands", source="b", in_channels=1, out_channels=2, in_size=(70, 66), kernel=(5, 3), padding=(2, 1)
    ),
    LinearShape(name="fc", source="f", in_channels=300, out_channels=10),
]


def draw_weights(layers: list[LinearShape], seed: int = 0, largest: int = 2**15 - 1) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {la.name: rng.integers(-largest, largest + 1, la.weight_shape).astype(np.int32) for la in layers}


def draw_masks(layers: list[LinearShape], ring_bits: int) -> dict[str, Any]:
    return {la.source: Prg(fresh_seed()).ring(la.mask_shape, ring_bits) for la in layers}


def exchange(
    plan: LinearPlan, server: LinearHeServer, client: LinearHeClient, masks: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Any]:
    """Both parties' shares of several inferences in one session, and what was sent."""

    def serve() -> Half[list[dict[str, Any]]]:
        session = yield from server.setup()
        return (yield from _in_groups(masks, lambda group: session.run([Prg(fresh_seed()) for _ in group])))

    def ask() -> Half[list[dict[str, Any]]]:
        yield from client.setup()
        return (yield from _in_groups(masks, client.run))

    def _in_groups(masks: list[dict[str, Any]], run: Any) -> Half[list[dict[str, Any]]]:
        groups = [masks[at : at + plan.pictures] for at in range(0, len(masks), plan.pictures)]
        return [one for group in (yield from in_turn(map(run, groups))) for one in group]

    ran = run_halves(serve(), ask())
    return ran.server, ran.client, ran


@pytest.mark.parametrize("ring_bits", [24, 32, 41, 45, 59, 64])
def test_shares_add_up_and_cost_is_as_declared(ring_bits: int) -> None:
    plan, weights, masks = plan_linear(LAYERS, ring_bits), draw_weights(LAYERS), draw_masks(LAYERS, ring_bits)
    server, client = LinearHeServer(plan, weights), LinearHeClient(plan, Prg(fresh_seed()))
    (server_shares,), (client_shares,), ran = exchange(plan, server, client, [masks])
    ideal = ideal_linear(plan, weights, masks, server_shares)
    for layer in LAYERS:
        np.testing.assert_array_equal(client_shares[layer.name], ideal[layer.name], strict=True)
    cost = linear_he_cost(plan)
    assert ran.at_client.sent_bytes == cost.setup_bytes + cost.up_bytes
    assert ran.at_client.received_bytes == cost.down_bytes
    assert ran.chains[1] == 2 * cost.rounds


def test_requests_go_ahead_as_far_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, or three at a time: more round trips, the same bytes and results; declared as counted."""
    weights, masks = draw_weights(LAYERS, largest=200), draw_masks(LAYERS, 37)
    trips = []
    for room in (32 << 20, 0):
        monkeypatch.setattr("pi_system.protocols.linear_he.plan._AHEAD_BYTES", room)
        plan = plan_linear(LAYERS, 37, weight_norm_bits(weights.values()))
        (server,), (client,), ran = exchange(
            plan, LinearHeServer(plan, weights), LinearHeClient(plan, Prg(fresh_seed())), [masks]
        )
        ideal = ideal_linear(plan, weights, masks, server)
        assert all(np.array_equal(ideal[name], client[name]) for name in ideal)
        assert ran.chains[1] == 2 * linear_he_cost(plan).rounds
        assert ran.at_client.sent_bytes == linear_he_cost(plan).setup_bytes + linear_he_cost(plan).up_bytes
        trips.append(ran.chains[1] // 2)
    assert len(plan.packings) == 5
    assert plan.ahead == (3, 4, 5, 5, 5)
    assert trips == [1, 2]


def test_several_inferences_with_threads_and_without_cache_agree_with_the_ideal() -> None:
    weights = draw_weights(LAYERS, largest=200)
    plan = plan_linear(LAYERS, 37, weight_norm_bits(weights.values()))
    client, masks = LinearHeClient(plan, Prg(fresh_seed())), [draw_masks(LAYERS, 37) for _ in range(2)]
    for server, cores in (
        (LinearHeServer(plan, weights), 2),
        (LinearHeServer(plan, weights, cache_bytes=0), 1),
        (LinearHeServer(plan, weights, cache_bytes=linear_he_cost(plan).weight_bytes // 2), 3),
    ):
        with using_threads(cores):
            server_shares, client_shares, _ = exchange(plan, server, client, masks)
        for mask, s, c in zip(masks, server_shares, client_shares, strict=True):
            ideal = ideal_linear(plan, weights, mask, s)
            assert all(np.array_equal(ideal[name], c[name]) for name in ideal)


@pytest.mark.parametrize("path", rlwe_paths())
@pytest.mark.parametrize("pictures", [4, 16])
def test_pictures_that_are_prepared_together(pictures: int, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has shares of its own, as the ideal says; the cost is as declared, and a part of what one by one costs."""
    monkeypatch.setattr("pi_system.kernels.he.rlwe_paths", lambda: [path])
    weights = draw_weights(LAYERS, largest=200)
    norm_bits = weight_norm_bits(weights.values())
    one = plan_linear(LAYERS, 37, norm_bits)
    plan = plan_together(one, pictures)
    assert {packing.pictures for packing in plan.packings} - {1}
    client, masks = LinearHeClient(plan, Prg(fresh_seed())), [draw_masks(LAYERS, 37) for _ in range(2 * pictures)]
    for server in (LinearHeServer(plan, weights), LinearHeServer(plan, weights, cache_bytes=0)):
        server_shares, client_shares, ran = exchange(plan, server, client, masks)
        for mask, s, c in zip(masks, server_shares, client_shares, strict=True):
            ideal = ideal_linear(plan, weights, mask, s)
            assert all(np.array_equal(ideal[name], c[name]) for name in ideal)
        cost = linear_he_cost(plan)
        assert ran.at_client.sent_bytes == cost.setup_bytes + 2 * cost.up_bytes
        assert ran.at_client.received_bytes == 2 * cost.down_bytes
        assert ran.chains[1] == 2 * 2 * cost.rounds
    alone = linear_he_cost(one)
    assert cost.up_bytes + cost.down_bytes < 0.7 * pictures * (alone.up_bytes + alone.down_bytes)
    assert cost.weight_bytes < 2 * alone.weight_bytes


def test_a_session_serves_groups_of_any_size_under_one_key() -> None:
    weights = draw_weights(LAYERS, largest=200)
    alone = plan_linear(LAYERS, 37, weight_norm_bits(weights.values()))
    plans = [plan_together(alone, pictures) for pictures in (4, 1, 16)]
    servers = [LinearHeServer(plan, weights) for plan in plans]
    masks = [[draw_masks(LAYERS, 37) for _ in range(plan.pictures)] for plan in plans]

    def serve() -> Half[list[Any]]:
        session = yield from servers[0].setup()
        return (
            yield from in_turn(session.of(s).run([Prg(fresh_seed()) for _ in range(s.plan.pictures)]) for s in servers)
        )

    def ask() -> Half[list[Any]]:
        client = LinearHeClient(plans[0], Prg(fresh_seed()))
        yield from client.setup()
        return (yield from in_turn(client.of(plan).run(group) for plan, group in zip(plans, masks, strict=True)))

    ran = run_halves(serve(), ask())
    for plan, group, at_server, at_client in zip(plans, masks, ran.server, ran.client, strict=True):
        for mask, s, c in zip(group, at_server, at_client, strict=True):
            ideal = ideal_linear(plan, weights, mask, s)
            assert all(np.array_equal(ideal[name], c[name]) for name in ideal)


def test_layers_of_one_source_share_their_request() -> None:
    both, conv = plan_linear(LAYERS[1:3], 41, 18), plan_linear(LAYERS[1:2], 41, 18)
    assert len(both.packings) == 1
    assert linear_he_cost(both).up_bytes <= linear_he_cost(conv).up_bytes * 3 // 2


def test_random_shapes() -> None:
    rng = np.random.default_rng(1)
    for trial in range(8):
        size, kernel = tuple(rng.integers(5, 20, 2).tolist()), tuple(rng.integers(1, 5, 2).tolist())
        layer = LinearShape(
            name="a",
            source="x",
            in_channels=int(rng.integers(1, 20)),
            out_channels=int(rng.integers(1, 20)),
            in_size=size,
            kernel=kernel,
            stride=tuple(rng.integers(1, 4, 2).tolist()),
            padding=tuple(rng.integers(0, 3, 2).tolist()),
        )
        plan, weights, masks = plan_linear([layer], 41), draw_weights([layer], trial), draw_masks([layer], 41)
        (s,), (c,), _ = exchange(plan, LinearHeServer(plan, weights), LinearHeClient(plan, Prg(fresh_seed())), [masks])
        np.testing.assert_array_equal(c["a"], ideal_linear(plan, weights, masks, s)["a"], err_msg=str(layer))


@pytest.fixture(scope="module")
def small() -> tuple[LinearPlan, LinearHeClient, LinearHeServer, LinearHeSession]:
    layers = LAYERS[5:]
    plan = plan_linear(layers, 41)
    client, server = LinearHeClient(plan, Prg(fresh_seed())), LinearHeServer(plan, draw_weights(layers))
    return plan, client, server, LinearHeSession(server, client.hello().data)


Small = tuple[LinearPlan, LinearHeClient, LinearHeServer, LinearHeSession]


def test_server_refuses_messages_of_another_size(small: Small) -> None:
    _, client, server, session = small
    request = client.request(0, np.zeros(300, np.uint64))
    for message in (request[:-1], request[:0], np.append(request, np.uint8(0))):
        with pytest.raises(RemoteProtocolError, match="bytes"):
            list(session.answers(0, message.tobytes(), [Prg(fresh_seed())]))
    with pytest.raises(RemoteProtocolError, match="bytes"):
        LinearHeSession(server, client.hello()[1:].tobytes())


def test_server_refuses_what_is_no_residue(small: Small) -> None:
    plan, _, server, session = small
    garbage = np.full(plan.request_bytes(0), 255, np.uint8)
    with pytest.raises(RemoteProtocolError, match="residues"):
        list(session.answers(0, garbage.data, [Prg(fresh_seed())]))
    with pytest.raises(RemoteProtocolError, match="residues"):
        LinearHeSession(server, np.full(plan.hello_bytes(), 255, np.uint8).data)


def test_client_refuses_answers_that_are_none(small: Small) -> None:
    plan, client, _, _ = small
    (chunk, *_), share = plan.chunks(0), np.zeros((1, 10, 1, 1), np.uint64)
    size = plan.chunk_bytes(0, chunk)
    with pytest.raises(RemoteProtocolError, match="bytes"):
        client.receive(0, chunk, bytes(size - 1), share)
    with pytest.raises(RemoteProtocolError, match="residues"):
        client.receive(0, chunk, b"\xff" * size, share)
    client.receive(0, chunk, bytes(size), share)  # in range: decrypts to something


def test_client_refuses_wrong_masks(small: Small) -> None:
    _, client, _, _ = small
    with pytest.raises(InputError, match="mask of f"):
        client.request(0, np.zeros(299, np.uint64))
    with pytest.raises(LocalProtocolError, match="found none for f"):
        run_alone(client.run([{}]))
    with pytest.raises(LocalProtocolError, match="of 1 pictures, found 2"):
        run_alone(client.run([{}, {}]))


def test_server_refuses_wrong_weights() -> None:
    plan = plan_linear(LAYERS[5:], 41, norm_bits=10)
    good = np.zeros((10, 300), np.int32)
    LinearHeServer(plan, {"fc": good})
    with pytest.raises(ConfigError, match="fc"):
        LinearHeServer(plan, {})
    with pytest.raises(ConfigError, match="fc"):
        LinearHeServer(plan, {"fc": good[:, 1:]})
    with pytest.raises(ConfigError, match="signed integers"):
        LinearHeServer(plan, {"fc": good.astype(np.float32)})
    for value in (60, 1 << 21):  # norm 60 * sqrt(300) > 2^10
        with pytest.raises(FixedPointRangeError):
            LinearHeServer(plan, {"fc": good + value})


def test_norm_bits_is_the_least_power_of_two() -> None:
    assert weight_norm_bits([np.array([[3, 4], [0, 1]])]) == 3
    assert weight_norm_bits([np.array([[8, 0]])]) == 3
    assert weight_norm_bits([np.array([[8, 1]])]) == 4
    assert weight_norm_bits([np.zeros((2, 2), np.int64)]) == 1


def test_plans_refuse_what_is_ambiguous() -> None:
    with pytest.raises(ConfigError, match="different names"):
        plan_linear([LAYERS[0], LAYERS[0]], 41)
    with pytest.raises(ConfigError, match="different names"):
        plan_linear([], 41)
    other = LinearShape(name="other", source="in", in_channels=4, out_channels=1)
    with pytest.raises(ConfigError, match="source in"):
        plan_linear([LAYERS[0], other], 41)
