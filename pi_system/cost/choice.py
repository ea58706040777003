"""Which backend ``auto`` stands for: of those that model, server and trust allow, the fastest as predicted.

Deterministic: who has the same model, link, prices and policy chooses the same.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, Final, Literal

from pi_system.artifact.model import PublicArtifact, PublicModel
from pi_system.backends.registry import AUTO, AUTO_BACKENDS, AUTO_DEALT, BACKENDS, runnable, why_not
from pi_system.channel.link import LINKS, Link
from pi_system.cost.calibration import Calibration, UnpricedError, default_calibration
from pi_system.cost.predict import predict
from pi_system.errors import ConfigError
from pi_system.program.reveal import Reveal

Objective = Literal["online", "total"]
"""What shall be least: the online time, or with nothing prepared the time of both phases."""
OBJECTIVES: Final = ("online", "total")
_WORDS: Final[Mapping[Objective, str]] = {"online": "online", "total": "offline and online"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Predicted milliseconds of one inference.

    Attributes:
        online_ms: material prepared.
        offline_ms: one preparation of one inference, the first of a client.
    """

    online_ms: float
    offline_ms: float

    def until(self, objective: Objective) -> float:
        """What ``objective`` compares."""
        return self.online_ms + (self.offline_ms if objective == "total" else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What ``auto`` stands for, and why.

    Attributes:
        backend: the one that was chosen.
        objective: what was to be least.
        link: between the parties; None: it was not needed.
        times: predictions of those that were to choose from; empty: none were needed, or prices are missing.
        dealt: predictions of those that a dealer would give besides.
        prepared: inferences that lie prepared here, by backend.
        unpriced: backends without prices, because of which the fixed order decided.
        note: what else is to be said.
    """

    backend: str
    objective: Objective = "online"
    link: Link | None = None
    times: Mapping[str, Times] = field(default_factory=dict)
    dealt: Mapping[str, Times] = field(default_factory=dict)
    prepared: Mapping[str, int] = field(default_factory=dict)
    unpriced: tuple[str, ...] = ()
    note: str = ""

    def line(self) -> str:
        """All of it for people."""
        parts = [f"{self.backend}: {self._why()}"]
        if self.times:
            parts.append(f"predicted {_WORDS[self.objective]} {self._listed(self.times)} ms")
        if self.dealt:
            parts.append(f"with a dealer {self._listed(self.dealt)} ms")
        if self.link is not None:
            rate = f", {_number(self.link.rate_bits_s / 1e6)} Mbit/s" if isfinite(self.link.rate_bits_s) else ""
            parts.append(f"link {_number(1000 * self.link.rtt_s)} ms{rate}")
        others = [f"{name} {count:,}" for name, count in self.prepared.items() if name != self.backend]
        if others:
            parts.append(f"prepared besides: {', '.join(others)}")
        return "; ".join([*parts, *filter(None, [self.note])])

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        rate = None if self.link is None or not isfinite(self.link.rate_bits_s) else self.link.rate_bits_s / 1e6
        return {
            "backend": self.backend,
            "objective": self.objective,
            "rtt_ms": None if self.link is None else 1000 * self.link.rtt_s,
            "rate_mbit_s": rate,
            "predicted": {name: asdict(times) for name, times in self.times.items()},
            "with_dealer": {name: asdict(times) for name, times in self.dealt.items()},
            "prepared": dict(self.prepared),
            "unpriced": list(self.unpriced),
            "note": self.note,
        }

    def _why(self) -> str:
        if count := self.prepared.get(self.backend):
            return f"{count:,} prepared"
        if not self.times:
            lacking = f", without prices of {', '.join(self.unpriced)}" if self.unpriced else ""
            return f"the first in the fixed order{lacking}"
        return f"least time {_WORDS[self.objective]}" if len(self.times) > 1 else "nothing else is allowed"

    def _listed(self, times: Mapping[str, Times]) -> str:
        ranked = sorted((each.until(self.objective), name) for name, each in times.items())
        return ", ".join(f"{name} {_number(ms)}" for ms, name in ranked)


def candidates(model: PublicModel, offered: Collection[str], dealt: Collection[str] = ()) -> tuple[str, ...]:
    """What ``auto`` may be, in the fixed order; ``dealt``: backends whose dealer the user named.

    Raises:
        ConfigError: nothing.
    """
    allowed = [name for name in (*AUTO_DEALT, *AUTO_BACKENDS) if name in AUTO_BACKENDS or name in dealt]
    able = runnable(model, (name for name in allowed if name in offered))
    if not able:
        found = ", ".join(runnable(model, (name for name in BACKENDS if name in offered)))
        why = why_not(model, AUTO_BACKENDS[-1]) or ("name one of those" if found else "")
        raise ConfigError(
            f"backend: expected one of {', '.join(allowed)} for auto, found {found or 'none'} offered"
            + (f"; {why}" if why else "")
        )
    return able


def choose(
    public: PublicArtifact,
    link: Link | None,
    *,
    offered: Collection[str] = tuple(BACKENDS),
    dealt: Collection[str] = (),
    prepared: Mapping[str, int] | None = None,
    objective: Objective = "online",
    calibration: Calibration | None = None,
    reveal: Reveal = "logits",
    note: str = "",
) -> Decision:
    """Choose. What lies prepared comes before what does not; then the least predicted time; then the fixed order.

    Args:
        public: the network.
        link: between the parties; None: nothing is predicted, the fixed order decides.
        offered: by the server.
        dealt: backends with a dealer that the user named, and may be taken.
        prepared: inferences that lie prepared, by backend.
        objective: what shall be least.
        calibration: prices; where it lacks those of a candidate, as where it is None, those that ship.
        reveal: what the client will learn.
        note: for the choice.

    Raises:
        ConfigError: nothing is allowed.
    """
    held, able = prepared or {}, candidates(public.public, offered, dealt)
    pool = [name for name in able if held.get(name)] or able
    if link is None:
        return Decision(backend=pool[0], objective=objective, prepared=held, note=note)
    prices = calibration or default_calibration()
    times, unpriced = _predicted(public, able, link, prices, reveal)
    if unpriced:
        prices = default_calibration()
        times, unpriced = _predicted(public, able, link, prices, reveal)
    more = runnable(public.public, (name for name in AUTO_DEALT if name in offered and name not in able))
    times = {} if unpriced else times
    return Decision(
        backend=min(pool, key=lambda name: times[name].until(objective)) if times else pool[0],
        objective=objective,
        link=link,
        times=times,
        dealt=_predicted(public, more, link, prices, reveal)[0],
        prepared=held,
        unpriced=unpriced,
        note=note,
    )


def resolve(
    name: str,
    public: PublicArtifact,
    link: Link = LINKS["loopback"],
    calibration: Calibration | None = None,
    reveal: Reveal = "logits",
) -> str:
    """What ``name`` stands for over a known link: itself, unless it is ``auto``. Errors as ``choose``."""
    return choose(public, link, calibration=calibration, reveal=reveal).backend if name == AUTO else name


def _predicted(
    public: PublicArtifact, names: Iterable[str], link: Link, prices: Calibration, reveal: Reveal
) -> tuple[dict[str, Times], tuple[str, ...]]:
    """Times by name, and those that lack prices."""
    times, lacking = {}, []
    for name in names:
        try:
            found = predict(public, name, link, prices, reveal)
        except UnpricedError:
            lacking.append(name)
        else:
            setup_ms = 1000 * link.transfer_s(found.setup_bytes)
            times[name] = Times(online_ms=found.online_ms, offline_ms=found.offline_ms + setup_ms)
    return times, tuple(lacking)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
