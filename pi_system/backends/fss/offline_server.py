"""The server's side of the offline phase with a dealer: it stores keys, corrections and the client's messages."""

from pi_system.artifact.graph import Graph
from pi_system.backends.fss.gates import DealtGates, sizes
from pi_system.channel.base import Channel
from pi_system.program.encoding import IntWeights
from pi_system.protocols.truncation import dealt as truncation
from pi_system.ring.carrier import Ring, RingArray, wire
from pi_system.ring.prg import SEED_BYTES
from pi_system.secure.layout import Bundle
from pi_system.secure.schedule import Gate, Remask, Schedule, Truncation
from pi_system.secure.seeds import PartySeed, fixed_mask, gate_salt


def masked_weights(graph: Graph, weights: IntWeights, weight_seed: bytes, ring: Ring) -> dict[str, RingArray]:
    """E = W - B of every weighted node: what the client needs once a model; uniform without the seed of B."""
    masked = {}
    for node in graph.weighted:
        mask = fixed_mask(weight_seed, node, ring.bits)
        masked[node.name] = ring.reduce(ring.from_signed(weights[f"{node.name}.weight"]) - mask)
    return masked


def receive_picture(
    schedule: Schedule, gates: DealtGates, ring: Ring, bundle: Bundle, client: Channel, dealer: Channel
) -> None:
    """Fill ``bundle`` for one picture, in the schedule's order."""
    seeds = dealer.recv(2 * SEED_BYTES)
    bundle.fill("seed", seeds[:SEED_BYTES])
    bundle.fill("salt", seeds[SEED_BYTES:])
    seed, salt = PartySeed(bytes(seeds[:SEED_BYTES])), bytes(seeds[SEED_BYTES:])
    for step in schedule.steps:
        expected = sizes(step, gates, ring)
        dealt = [dealer.recv(nbytes) for nbytes in expected.to_server]
        sent = [client.recv(nbytes) for nbytes in expected.up]
        match step:
            case Gate(name, spec):
                gate, keys = gates[spec.kind], (seed.gate_seed(name), gate_salt(salt, name))
                bundle.keep(name, gate.server_offline(spec, *keys, dealt, *sent), gate.server_shapes(spec))
            case Truncation(name, spec):
                offset = truncation.receive_masked(spec, seed.gate_seed(name), *sent)
                bundle.fill(f"{name}/offset", wire(offset))
                bundle.fill(f"{name}/correction", wire(truncation.receive_correction(spec, *dealt)))
            case Remask(name):
                bundle.fill(f"{name}/difference", *sent)
