"""Names for the networks in this package: ``builtin:NAME`` wherever an artifact's folder is asked for.

A folder holds an artifact (``pi_system/artifact/store.py``) and ``card.json``: what it is, how it was trained and how
good it is. Their weights are public, so the salt of their commitment is in the package, too.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, ValidationError

from pi_system.errors import ConfigError, InputError

BUILTIN_PREFIX = "builtin:"
_HERE = Path(__file__).resolve().parent
_Share = Annotated[float, Field(ge=0, le=1)]


class MeasuredCost(BaseModel):
    """What one private inference costs by benchmarks/both_phases.py on two cores: medians, bytes in both directions.

    Attributes:
        backend: that ran it.
        link: loopback, lan or wan.
        online_ms: from the first online byte to the result.
        online_bytes: payload of that.
        offline_ms: of what is prepared for it.
        offline_bytes: payload of that, without ``setup_bytes``, once a model.
        commit: of the code that was measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    backend: str
    link: str
    online_ms: NonNegativeFloat
    online_bytes: NonNegativeInt
    offline_ms: NonNegativeFloat
    offline_bytes: NonNegativeInt
    setup_bytes: NonNegativeInt
    commit: str

    def __str__(self) -> str:
        """A line of it."""
        online = f"{self.online_ms:.0f} ms and {self.online_bytes / 1e6:.2f} MB online"
        return f"{online}, {self.offline_ms:.0f} ms and {self.offline_bytes / 1e6:.2f} MB ahead"


class NetworkCard(BaseModel):
    """What a user should know of a network that came with the package.

    Attributes:
        name: after ``builtin:``.
        network: its specification.
        data: what it was trained on, and which copy.
        classes: how many.
        relus: active.
        relus_before: of the same network with all of them.
        test_accuracy: of the network in float32 on all test pictures, from 0 to 1.
        fixed_point_accuracy: of the exported artifact on the first ``fixed_point_pictures`` test pictures.
        fixed_point_pictures: how many those are.
        private_accuracy: of private inferences by two processes on the first ``private_pictures`` test pictures.
        private_pictures: how many those are.
        private_agreement: share of them whose label is the fixed-point interpreter's.
        private_backend: that ran them.
        costs: of an inference; empty where no idle machine was at hand.
        recipe: ``train``, ``reduction`` and ``finetune`` as they were configured; ``earlier`` has the reductions before
            the last one, in their order.
        licence: of the weights, and what is known of the data's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    network: str
    data: str
    classes: NonNegativeInt
    relus: NonNegativeInt
    relus_before: NonNegativeInt
    test_accuracy: _Share
    fixed_point_accuracy: _Share
    fixed_point_pictures: NonNegativeInt
    private_accuracy: _Share
    private_pictures: NonNegativeInt
    private_agreement: _Share
    private_backend: str
    costs: tuple[MeasuredCost, ...] = ()
    recipe: dict[str, Any]
    licence: str


def builtin_names() -> tuple[str, ...]:
    """Every name, in alphabetical order."""
    return tuple(sorted(card.parent.name for card in _HERE.glob("[!.]*/card.json")))  # drafts have a dot


def artifact_folder(name: str) -> Path:
    """The folder of a network that came with the package.

    Args:
        name: with or without ``builtin:``.

    Raises:
        ConfigError: there is none of that name.
    """
    short = name.removeprefix(BUILTIN_PREFIX)
    if short not in builtin_names():
        known = ", ".join(BUILTIN_PREFIX + one for one in builtin_names())
        raise ConfigError(f"network: expected one of {known}; found {name!r:.60}")
    return _HERE / short


def read_card(name: str) -> NetworkCard:
    """The card of a network.

    Raises:
        ConfigError: there is no network of that name.
        InputError: its card is damaged.
    """
    folder = artifact_folder(name)
    file = folder / "card.json"
    try:
        card = NetworkCard.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: expected a network's card; {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "file"
        raise InputError(f"{file}: expected a network's card; {place}: {first['msg']}") from error
    if card.name != folder.name:
        raise InputError(f"{file}: expected the card of {folder.name}, found that of {card.name!r:.60}")
    return card
