"""A ledger of everything that is to be used once: keystream, hash tweaks, rows of the LPN code, correlated OTs.

``instrument`` replaces the functions through which the protocols draw, wherever they were imported, by ones that also
write down who drew which range of what. Parties are threads of one process, so a test says who acts::

    with ledger.acting("server", "offline"): ...

``check`` then fails for a range that was used twice, with one exception: a stream that carries a purpose (the mask of
one value, the share of one layer) may be derived again for the same purpose by another party (the dealer derives
the client's masks) or in another phase (online, from the seed that was kept).
"""

import functools
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest

from pi_system.backends.two_party import offline as two_party
from pi_system.kernels import garble, keystream, ot
from pi_system.kernels.relu import ReluGate
from pi_system.protocols.linear_he import server as linear_he
from pi_system.protocols.linear_he.key import SecretKey
from pi_system.protocols.ot import ferret, softspoken
from pi_system.protocols.ot.base import Cots, Position
from pi_system.protocols.square import dealt
from pi_system.protocols.truncation import dealt as truncation
from pi_system.secure import seeds
from pi_system.secure.seeds import PartySeed

Purpose = tuple[Any, ...] | None


class _Use(NamedTuple):
    first: int
    end: int
    actor: tuple[str, str]
    purpose: Purpose


class _Take(NamedTuple):
    """Correlated OTs handed out and not hashed yet."""

    sequence: int
    blocks: Any


class Ledger:
    """What was used, by space (what kind of thing) and key (which stream); safe for several threads."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.found: list[str] = []
        self._uses: dict[tuple[str, Any], list[_Use]] = defaultdict(list)
        self._contents: dict[tuple[str, Any], list[Any]] = defaultdict(list)
        self._sequences: dict[int, tuple[Any, Any]] = {}
        self._lock = threading.Lock()
        self._local = threading.local()

    @contextmanager
    def acting(self, party: str, phase: str) -> Iterator[None]:
        """The calling thread is ``party`` in ``phase``."""
        with self._set("actor", (party, phase)):
            yield

    @contextmanager
    def within(self, part: str) -> Iterator[None]:
        """A part of the phase that derives again, on purpose, what another part has."""
        party, phase = self.actor
        with self._set("actor", (party, f"{phase}, {part}")):
            yield

    @contextmanager
    def purpose(self, *purpose: Any) -> Iterator[None]:
        """What is drawn in the block serves ``purpose`` and may be derived again for it."""
        with self._set("purpose", purpose):
            yield

    @contextmanager
    def tree(self, key: int) -> Iterator[None]:
        """Blocks hashed here are nodes of the trees ``key``, not correlated OTs."""
        with self._set("tree", key):
            yield

    @contextmanager
    def _set(self, name: str, value: Any) -> Iterator[None]:
        before = getattr(self._local, name, None)
        setattr(self._local, name, value)
        try:
            yield
        finally:
            setattr(self._local, name, before)

    @property
    def actor(self) -> tuple[str, str]:
        actor: tuple[str, str] | None = getattr(self._local, "actor", None)
        if actor is None:
            raise AssertionError(f"a draw by nobody, in thread {threading.current_thread().name}")
        return actor

    def use(self, space: str, key: Any, first: int, count: int) -> None:
        """``count`` units from ``first`` on are used."""
        if count:
            use = _Use(first, first + count, self.actor, getattr(self._local, "purpose", None))
            with self._lock:
                self._uses[space, key].append(use)
                self.counts[space] += count

    def content(self, space: str, key: Any, blocks: Any) -> None:
        """Blocks of 16 bytes that must never be seen again under ``key``."""
        copy = np.ascontiguousarray(blocks).reshape(-1, 2).copy()
        with self._lock:
            self._contents[space, (self.actor[0], key)].append(copy)
            self.counts[space] += len(copy)

    def wrapped(self, cots: Cots, position: Position) -> None:
        """``cots`` are the next of a sequence."""
        with self._lock:
            self._sequences[id(cots)] = (cots, position)  # kept alive: ids are not given again

    def taken(self, cots: Cots, blocks: Any, tweak: int) -> None:
        """Correlated OTs were handed out."""
        sequence = id(self._sequences[id(cots)][1]) if id(cots) in self._sequences else id(cots)
        self.use("correlated OT", (self.actor[0], sequence), tweak, len(blocks))
        self.content("block of a correlated OT", sequence, blocks)
        if not hasattr(self._local, "takes"):
            self._local.takes = defaultdict(list)
        self._local.takes[tweak, len(blocks)].append(_Take(sequence, blocks))

    def hashed(self, blocks: Any, tweak: int, *, both: bool = False) -> None:
        """Blocks were hashed under ``tweak``, ``tweak`` + 1, ..; ``both``: also with Delta added."""
        if getattr(self._local, "tree", None) is not None:
            return self.use("tree tweak", self._local.tree, tweak, len(blocks))
        for take in getattr(self._local, "takes", {}).get((tweak, len(blocks)), []):
            difference = np.unique(take.blocks ^ blocks, axis=0)
            if len(difference) == 1:
                which = int(difference.any())
                for side in (0, 1) if both else (which,):
                    self.use("hash tweak", (self.actor[0], take.sequence, side), tweak, len(blocks))
                return None
        with self._lock:
            self.found.append(f"{self.actor[0]} hashes {len(blocks)} blocks under tweak {tweak}, which is not theirs")
        return None

    def check(self) -> None:
        """Fail if anything was used twice; two examples of each kind are shown."""
        found = defaultdict(list, {"foreign tweak": self.found} if self.found else {})
        for (space, key), uses in self._uses.items():
            found[space] += [f"{space} {_shown(key)}: {one} and {two}" for one, two in _overlaps(uses)]
        for (space, key), blocks in self._contents.items():
            every = np.concatenate(blocks)
            twice = len(every) - len(np.unique(every, axis=0))
            if twice:
                found[space].append(f"{space} {_shown(key)}: {twice} of {len(every)} used twice")
        assert not any(found.values()), "\n".join(text for texts in found.values() for text in texts[:2])


def _shown(key: Any) -> str:
    return key.hex()[:8] if isinstance(key, bytes) else str(key)[:60]


def _overlaps(uses: list[_Use]) -> list[tuple[_Use, _Use]]:
    """Pairs that share units and may not."""
    found, open_uses = [], list[_Use]()
    for use in sorted(uses, key=lambda each: (each.first, each.end)):
        open_uses = [other for other in open_uses if other.end > use.first]
        found += [(other, use) for other in open_uses if not _may_share(other, use)]
        open_uses.append(use)
    return found


def _may_share(one: _Use, two: _Use) -> bool:
    return one.purpose is not None and one.purpose == two.purpose and one.actor != two.actor


def instrument(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    """Have every draw written down."""
    for part in (_streams, _purposes, _ots, _ferret, _relu_keys, _garbling, _encryption):
        part(monkeypatch, ledger)


def _replace(monkeypatch: pytest.MonkeyPatch, original: Callable[..., Any], note: Callable[..., Any]) -> None:
    """Call ``note`` with the arguments before ``original``, wherever a module holds that function."""
    owner = sys.modules[original.__module__]
    _around(monkeypatch, owner, original.__name__, lambda *given, **named: _noting(note, *given, **named))


def _around(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, enter: Callable[..., Any]) -> None:
    """Run a method, or a function wherever a module holds it, within what ``enter`` makes of its arguments."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def inside(*arguments: Any, **named: Any) -> Any:
        with enter(*arguments, **named):
            return original(*arguments, **named)

    if isinstance(owner, type):
        monkeypatch.setattr(owner, name, inside)
        return
    for module in [module for name, module in list(sys.modules.items()) if name.startswith("pi_system")]:
        for attribute, value in list(vars(module).items()):
            if value is original:
                monkeypatch.setattr(module, attribute, inside)


def _after(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, note: Callable[..., Any]) -> None:
    """Call ``note`` with a method's result and arguments."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def noted(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        note(result, *arguments, **named)
        return result

    monkeypatch.setattr(owner, name, noted)


def _streams(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    _replace(
        monkeypatch,
        keystream.aes_ctr,
        lambda key, first, out: ledger.use("keystream", key, first, (out.size + 15) // 16),
    )


def _purposes(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    """Streams that are derived more than once, and where that happens within a phase."""
    _around(monkeypatch, PartySeed, "fresh_mask", lambda seed, name, *_: ledger.purpose("mask", name))
    _around(monkeypatch, PartySeed, "linear_share", lambda seed, node, *_: ledger.purpose("share", node.name))
    _around(monkeypatch, seeds, "fixed_mask", lambda seed, name, *_: ledger.purpose("weights", name))
    _around(monkeypatch, linear_he, "linear_share", lambda plan, name, prg: ledger.purpose("share", name))
    _around(monkeypatch, dealt, "_stream", lambda spec, seed, name: ledger.purpose("square", name))
    _around(monkeypatch, truncation, "_summand", lambda spec, seed: ledger.purpose("truncation", seed))
    _around(monkeypatch, two_party.EncryptedMasks, "collect", lambda walk: ledger.within("masks to encrypt"))
    _around(monkeypatch, linear_he.LinearHeServer, "shares", lambda server, prg: ledger.within("shares to keep"))


def _ots(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    _after(monkeypatch, Position, "cots", lambda cots, position, blocks: ledger.wrapped(cots, position))
    _after(monkeypatch, Cots, "take", lambda result, cots, count: ledger.taken(cots, *result))
    _replace(monkeypatch, ot.cr_hash, lambda blocks, tweak: ledger.hashed(blocks, tweak))
    for sender in (ot.pads_sender, ot.bit_products_sender):
        _replace(monkeypatch, sender, lambda q, delta, tweak, *_: ledger.hashed(q, tweak, both=True))
    for receiver in (ot.pads_receiver, ot.bit_products_receiver):
        _replace(monkeypatch, receiver, lambda t, tweak, *_: ledger.hashed(t, tweak))


def _ferret(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    for party in (softspoken.SoftSpokenSender, softspoken.SoftSpokenReceiver):
        _around(monkeypatch, party, "__init__", lambda end, *_: ledger.tree(_identity(ledger, end)))
    _replace(
        monkeypatch,
        ot.fold_leaves,
        lambda leaves, shift, skip, counter, blocks: ledger.use(
            "leaf stream", (ledger.actor[0], skip, leaves[1:3].tobytes()), counter, blocks
        ),
    )
    _replace(
        monkeypatch,
        ot.lpn_encode,
        lambda base, seed, first, out: ledger.use(
            "row of the LPN code", (ledger.actor[0], seed, base[:2].tobytes()), first, len(out)
        ),
    )
    _replace(monkeypatch, ot.tree_sender, lambda roots, *_: ledger.content("root of a tree", None, roots))
    for end in (ferret.FerretSender, ferret.FerretReceiver):
        _around(
            monkeypatch, end, "_open", lambda party, cots, *_: _noting(ledger.content, "OT of a tree", id(party), cots)
        )


def _identity(ledger: Ledger, thing: Any) -> int:
    ledger._sequences[id(thing)] = (thing, thing)
    return id(thing)


@contextmanager
def _noting(note: Callable[..., Any], *arguments: Any, **named: Any) -> Iterator[None]:
    note(*arguments, **named)
    yield


def _relu_keys(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    """Streams that the comparison keys' kernels derive from a seed and a salt; the dealer derives both parties'."""

    def dealt_both(gate: Any, count: int, seed0: bytes, seed1: bytes, salt: bytes) -> Any:
        ledger.use("salt", salt, 0, count)  # with the block's number the AES key that all its nodes share
        spaces = dict.fromkeys(["summand of a mask", "root of a key", *of_server(gate), *of_client(gate)])
        return _both(ledger, (seed0, seed1), salt, 0, count, tuple(spaces))

    def of_server(gate: Any) -> list[str]:
        if gate.stored:
            return []  # made by two parties: nothing comes from a seed
        root = ["root of a key"] if gate.key_bytes(1, 1) else []  # a table of the server's is stored
        return root + (["offset of a sign"] if gate.unseen_bits else [])

    def of_client(gate: Any) -> list[str]:
        if gate.stored:
            return []
        return ["root of a key" if gate.key_bytes(1, 1) else "table of a comparison"]

    def one(spaces: Callable[[Any], list[str]], at: int, size: int) -> Callable[..., Any]:
        def enter(gate: Any, *arguments: Any, first: int = 0, **_: Any) -> Any:
            seed, salt, sized = arguments[at], arguments[at + 1], arguments[size]
            count = sized if isinstance(sized, int) else sized.size
            return _both(ledger, (seed,), salt, first, count, tuple(spaces(gate)))

        return enter

    _around(monkeypatch, ReluGate, "deal", dealt_both)
    _around(monkeypatch, ReluGate, "masks", one(lambda gate: ["summand of a mask"], 1, 0))
    _around(monkeypatch, ReluGate, "server_send", one(of_server, 1, 3))
    _around(monkeypatch, ReluGate, "client_reply", one(of_client, 1, 4))


@contextmanager
def _both(
    ledger: Ledger, of_seeds: tuple[bytes, ...], salt: bytes, first: int, count: int, spaces: tuple[str, ...]
) -> Iterator[None]:
    with ledger.purpose("comparison key"):
        for seed in of_seeds:
            for space in spaces:
                ledger.use(space, (seed, salt), first, count)
    yield


def _garbling(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    def garbled(bits: int, shift: int, **given: Any) -> None:
        n = given["q"].shape[1] // 2
        for wire in range(bits):
            at = wire * given["stride"] + given["first"]
            ledger.use("garbling tweak", given["delta"], given["tweak"] + at, n)
            with ledger.purpose("labels"):
                ledger.use("label", given["seed"], at, n)

    def inputs(bits: int, **given: Any) -> None:
        for wire in range(bits):
            with ledger.purpose("labels"):
                ledger.use("label", given["seed"], wire * given["stride"] + given["first"], len(given["share"]))

    _replace(monkeypatch, garble.garble, garbled)
    _replace(monkeypatch, garble.garble_inputs, inputs)


def _encryption(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    """The public seeds of ciphertexts: two of one seed under one key would tell the difference of their messages."""
    _after(monkeypatch, SecretKey, "encrypt", lambda result, *_: ledger.use("ciphertext", result.tobytes(), 0, 1))
