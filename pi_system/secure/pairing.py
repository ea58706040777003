"""Material that two parties hold together, safe against either store being put back from a backup.

A bundle that was used and comes back with a backup must not be used again: the difference of two masked pictures is the
difference of the pictures. So each side keeps a record of uses (secure/chain.py), and they compare when they meet, at
the start of every session:

    server                                              client
    epoch, last use it heard of             -->         fits: same epoch, and it reserved at least that many
                                            <--         fits or not, last use it reserved, last use confirmed to it
    fits: same epoch, and it heard of all that it
    confirmed; it notes the client's last
    epoch: the same, or a new random one    -->         other than its own: burns; same: its last use is confirmed
                                            <--         how many bundles it has, and their ids
    which of them it lacks, a bit each      -->         burns those
    burns what the client did not name

Both sides name and spare what a session beside this one may be about to store or to use: what was made or taken in the
last ten minutes.

At any time  confirmed <= heard of <= reserved  holds, since every number is on disk before the next message leaves: a
use is reserved before the server is asked, heard of before the server says ready, confirmed before the first masked
byte. A store that was put back breaks it, unless no use lies between what the two sides were put back to. Uses in
flight, of sessions side by side or cut off by a crash, keep it: each side checks its own newer number against the
other's older one, and the next meeting closes what a crash left open. Where it does not hold the server draws a new
epoch and both sides burn what they have of the old one; material says in its header of which epoch it is.

Two parties put back to one and the same moment agree with each other, and no messages between them can tell. That is
what the record itself is for: it knows whether it is a copy (secure/place.py). What is left, blocks put back under
both records at once (snapshots of volumes), needs ``store burn`` of one side.
"""

import logging
import re
import secrets
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Final

import numpy as np

from pi_system.channel.base import Channel
from pi_system.errors import CorrelationMismatchError, LocalProtocolError, RemoteProtocolError
from pi_system.secure.chain import Chain, Uses, forget, locked
from pi_system.secure.layout import BundleDraft, Layout
from pi_system.secure.store import SETTLED_S, MaterialStore, sweep

_EPOCH_BYTES: Final = 16
_ANNOUNCED: Final = struct.Struct("<16sQ")
_ANSWER: Final = struct.Struct("<?QQ")
_COUNT: Final = struct.Struct("<I")
_ID_BYTES: Final = 16
MAX_NAMED: Final = 1 << 18
"""Bundles of one client for one model, 4 MiB of ids."""
_NAME: Final = re.compile(r"[0-7][0-9a-f]{47}")
_USE_DIGITS: Final = 16
_USES: Final = 1 << 63
"""Uses are numbered below it: the index (sqlite) has no larger integer."""
_LOG = logging.getLogger(__name__)


class PairedStore(MaterialStore):
    """A store that gives material out only in the epoch that its session's meeting agreed on.

    A use has a number, and a name for every bundle: the number, 16 hexadecimal digits, then the bundle's id.
    """

    @cached_property
    def _chain(self) -> Chain:
        return Chain(self._folder, self._binding, self.index, self.key)

    def recorded(self) -> Uses:
        """The record of uses; without a good one everything is burned and the record is empty."""
        with locked(self._folder):
            return self._current()

    def answer(self, announced: Uses) -> tuple[bool, Uses]:
        """The client's verdict on the server's record, whether it fits its own, and its own."""
        mine = self.recorded()
        return bool(mine.epoch) and mine.epoch == announced.epoch and announced.last <= mine.last, mine

    def settle(self, announced: Uses, fits: bool, theirs: Uses) -> str:
        """The server's epoch after a meeting.

        Args:
            announced: what it told the client.
            fits: the client's verdict on it.
            theirs: the client's record, its epoch left out.
        """
        with locked(self._folder):
            mine = self._current()
            same = mine.epoch == announced.epoch  # else a session beside this one has settled the matter
            if not mine.epoch or (same and not (fits and theirs.confirmed <= mine.last)):
                mine = self._start(secrets.token_hex(_EPOCH_BYTES))
            elif same and theirs.last > mine.last:
                self._chain.write(replace(mine, last=theirs.last))
            self.epoch = mine.epoch
        return mine.epoch

    def adopt(self, epoch: str, fits: bool, told: Uses) -> None:
        """The client's end of a meeting: the server's epoch, which means to have noted what it was told if it fits."""
        with locked(self._folder):
            mine = self._current()
            if mine.epoch != epoch:
                self._start(epoch)
            elif fits and told.epoch == epoch and told.last > mine.confirmed:
                self._chain.write(replace(mine, confirmed=told.last))
            self.epoch = epoch

    @contextmanager
    def making(self, material_id: str, layout: Layout) -> Iterator[BundleDraft]:
        """See MaterialStore. Raises CorrelationMismatchError if a new epoch has begun since the meeting."""
        with super().making(material_id, layout) as draft:
            yield draft
        with locked(self._folder):
            try:
                self._agreed()
            except CorrelationMismatchError:
                self.discard([material_id])
                raise

    def reserve_next(self, count: int) -> tuple[str, ...]:
        """The client's next use, of the ``count`` oldest bundles: marked used and recorded, durably; their names.

        Raises:
            CorrelationExhaustedError: fewer are left.
            CorrelationMismatchError: a new epoch has begun since the meeting.
        """
        with locked(self._folder):
            mine = self._agreed()
            taken = self.index.take_next(self.key, count, mine.last + 1)
            self._chain.write(replace(mine, last=mine.last + 1))
        return tuple(f"{mine.last + 1:0{_USE_DIGITS}x}{material_id}" for material_id in taken)

    def reserve_named(self, names: tuple[str, ...]) -> None:
        """The server's side of a use, by the names the client gave: marked used and recorded, durably.

        Raises:
            CorrelationReusedError: a bundle was used before.
            CorrelationMismatchError: this store never held it, or a new epoch has begun since the meeting.
        """
        ids, last = [self.id_of(name) for name in names], max(_use_of(name) for name in names)
        with locked(self._folder):
            mine = self._agreed()
            self.index.take(self.key, ids, last)
            if last > mine.last:
                self._chain.write(replace(mine, last=last))

    def confirm(self, names: tuple[str, ...]) -> None:
        """At the client: the server has the use with these names on its disk."""
        with locked(self._folder):
            mine, use = self._agreed(), max(_use_of(name) for name in names)
            if use > mine.confirmed:
                self._chain.write(replace(mine, confirmed=use))

    def named(self) -> list[str]:
        """At the client: bundles that it has, or took so lately that the server may still have to; leftovers burn."""
        burned, _ = sweep(self.index, self.key, self._folder)
        self._lost(burned)
        return [*self.index.unused(self.key), *self.index.taken_since(self.key, time.time() - SETTLED_S)][:MAX_NAMED]

    def compare(self, named: Sequence[str]) -> list[bool]:
        """At the server: which of the client's bundles it lacks; those of its own that the client did not name burn."""
        burned, _ = sweep(self.index, self.key, self._folder)
        unnamed = self.index.made_before(self.key, time.time() - SETTLED_S) - set(named)
        self._lost(burned + self._discard(unnamed))
        held = self.index.unused(self.key)
        return [material_id not in held for material_id in named]

    def drop(self, lacking: Sequence[str]) -> None:
        """At the client: burn what the server lacks; what is in use stays."""
        self._lost(self._discard(lacking))

    def _discard(self, ids: Iterable[str]) -> int:
        found = list(ids)
        burned = self.index.burn(self.key, found)
        for material_id in found:
            if self.index.state(self.key, material_id) == "burned":
                self._path(material_id).unlink(missing_ok=True)
        return burned

    def _lost(self, burned: int) -> None:
        if burned:
            _LOG.warning("%d unused inferences burned: expired, or one side had only half of them", burned)

    def id_of(self, name: str) -> str:
        """The bundle's id. Raises CorrelationMismatchError for what is no name."""
        if not _NAME.fullmatch(name):
            raise CorrelationMismatchError("name of a use: expected 48 hexadecimal digits, a number below 2^63 first")
        return name[_USE_DIGITS:]

    def _agreed(self) -> Uses:
        if not self.epoch:
            raise LocalProtocolError("material: expected parties that met, found a session without a meeting")
        mine = self._current()
        if mine.epoch != self.epoch:
            raise CorrelationMismatchError(
                "material: expected the epoch that this session agreed on, found another or none: it was burned "
                "meanwhile, connect again to prepare anew"
            )
        return mine

    def _current(self) -> Uses:
        try:
            return self._chain.read()
        except FileNotFoundError:
            self._burn("no record of its uses")
        except (OSError, CorrelationMismatchError) as error:
            self._burn(str(error))
        forget(self._folder)
        return Uses()

    def _start(self, epoch: str) -> Uses:
        self._burn("the parties' records of uses do not fit: one was put back from a backup, burned or lost")
        started = Uses(epoch=epoch)
        self._chain.write(started)
        return started

    def _burn(self, reason: str) -> None:
        if burned := self.burn():
            _LOG.warning("%s: %d unused inferences burned, prepare anew", reason, burned)


def _use_of(name: str) -> int:
    return int(name[:_USE_DIGITS], 16)


def meet_server(store: PairedStore, client: Channel) -> None:
    """The server's side of a meeting, see above. Raises ChannelError or RemoteProtocolError."""
    announced = store.recorded()
    client.send(_ANNOUNCED.pack(bytes.fromhex(announced.epoch), announced.last))
    fits, last, confirmed = _ANSWER.unpack(client.recv(_ANSWER.size))
    if max(last, confirmed) >= _USES:
        raise RemoteProtocolError("meeting: expected uses numbered below 2^63, found a larger number")
    client.send(bytes.fromhex(store.settle(announced, fits, Uses(last=last, confirmed=confirmed))))
    (count,) = _COUNT.unpack(client.recv(_COUNT.size))
    if count > MAX_NAMED:
        raise RemoteProtocolError(f"meeting: expected at most {MAX_NAMED} bundles, found {count} announced")
    named = np.frombuffer(client.recv(count * _ID_BYTES), np.uint8) if count else np.zeros(0, np.uint8)
    ids = [bytes(row).hex() for row in named.reshape(-1, _ID_BYTES)]
    lacking = store.compare(ids)
    if count:
        client.send(np.packbits(lacking).tobytes())


def meet_client(store: PairedStore, server: Channel) -> None:
    """The client's side of a meeting, see above. Raises ChannelError or RemoteProtocolError."""
    epoch, heard = _ANNOUNCED.unpack(server.recv(_ANNOUNCED.size))
    fits, mine = store.answer(Uses(epoch=epoch.hex(), last=heard))
    server.send(_ANSWER.pack(fits, mine.last, mine.confirmed))
    store.adopt(bytes(server.recv(_EPOCH_BYTES)).hex(), fits, mine)
    ids = store.named()
    server.send(_COUNT.pack(len(ids)))
    if ids:
        server.send(bytes.fromhex("".join(ids)))
        bits = np.frombuffer(server.recv((len(ids) + 7) // 8), np.uint8)
        store.drop([ids[i] for i in np.flatnonzero(np.unpackbits(bits, count=len(ids)))])
