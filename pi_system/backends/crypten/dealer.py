"""The dealer's side of backend ``crypten``: Beaver triples, squares and shared bits for a plan of correlations.

Functionality: for every item of the plan, shares of a correlation (crypten_plan) for server and client.
Inputs:   the plan (public) and the number of inferences.
Outputs:  both parties: a 16-byte seed, which expands to all their shares but one; that one, the server's share of each
          item's result (c of a triple, r * r of a square, the additive share of a bit), is the correction the dealer
          computes and sends.
Cost:     client 16 bytes; server 16 bytes + 8 bytes an element of every item's result (120 bytes a ReLU).
Error:    none; all relations hold exactly in Z_{2^64}.
Security: the dealer is trusted: it knows every mask. It sees neither weights nor pictures nor openings, but together
          with one party it can unmask the other's. The seeds come from the operating system, the shares from the
          cryptographic generator of ring/prg.
Source:   Beaver, CRYPTO 1991; seed compression as in CrypTen's TrustedThirdParty provider.
"""

import torch

from pi_system.backends.crypten.plan import AdditiveTriple, BinaryTriple, Item, SquarePair, decode_plan
from pi_system.backends.crypten.stream import RingStream
from pi_system.channel.base import Channel
from pi_system.errors import RemoteProtocolError
from pi_system.ring.prg import Prg, fresh_seed

SEED_BYTES = 16
MAX_COUNT = 1 << 16


def inference_stream(seed: bytes, index: int) -> RingStream:
    """A party's randomness for inference ``index`` of a dealing."""
    return RingStream(Prg(seed).child(f"crypten inference {index}"))


def draw_operands(item: Item, stream: RingStream) -> tuple[torch.Tensor, ...]:
    """A party's shares of the item's free values: (a, b) of a triple, (r,) of a square, (bit,) of a bit; int64."""
    if isinstance(item, AdditiveTriple):
        return stream.tensor(item.left), stream.tensor(item.right)
    if isinstance(item, BinaryTriple):
        return stream.tensor(item.shape), stream.tensor(item.shape)
    if isinstance(item, SquarePair):
        return (stream.tensor(item.shape),)
    return (stream.tensor(item.shape, bits=1),)


def draw_result(item: Item, stream: RingStream) -> torch.Tensor:
    """The client's share of the item's result, uniform int64; drawn after the operands."""
    return stream.tensor(item.result_shape())


def correction(item: Item, server: RingStream, client: RingStream) -> torch.Tensor:
    """The server's share of the item's result, from both parties' streams; int64."""
    ours, theirs = draw_operands(item, server), draw_operands(item, client)
    client_result = draw_result(item, client)
    if isinstance(item, AdditiveTriple):
        a, b = (x.add_(y) for x, y in zip(ours, theirs, strict=True))
        return item.product(a, b).sub_(client_result)
    if isinstance(item, SquarePair):
        r = ours[0].add_(theirs[0])
        return r.mul_(r).sub_(client_result)
    values = [x.bitwise_xor_(y) for x, y in zip(ours, theirs, strict=True)]
    if isinstance(item, BinaryTriple):
        return values[0].bitwise_and_(values[1]).bitwise_xor_(client_result)
    return values[0].sub_(client_result)


def deal(request: bytes, count: int, server: Channel, client: Channel) -> None:
    """Deal ``count`` inferences' correlations for ``request``; see the module's head.

    Raises:
        RemoteProtocolError: a bad request or count.
        ChannelError: a party went away.
    """
    plan = decode_plan(request)
    if not 1 <= count <= MAX_COUNT:
        raise RemoteProtocolError(f"dealer request: expected a count of 1 to {MAX_COUNT}, found {count}")
    server_seed, client_seed = fresh_seed(), fresh_seed()
    client.send(client_seed)
    server.send(server_seed)
    for index in range(count):
        streams = inference_stream(server_seed, index), inference_stream(client_seed, index)
        for item in plan.items:  # one message an item, sent as it is made: the channel bounds what is queued
            words = correction(item, *streams).contiguous()
            server.send(words.reshape(-1).numpy().data.cast("B"))
