"""Colours of the page can be told apart (WCAG 2.2, 1.4.3), in the dark and in the light."""

import re

import pytest

from pi_system.demo.app import STATIC

SCHEMES = re.findall(r":root \{(.*?)\}", (STATIC / "page.css").read_text(), re.S)


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", SCHEMES, ids=["light", "dark"])
def test_text_has_the_contrast_of_level_aa(scheme: str) -> None:
    colours = dict(re.findall(r"--([\w-]+): #(\w{6})", scheme))
    pairs = [(ink, ground) for ink in ("ink", "soft", "strong", "bad", "good") for ground in ("ground", "panel")]
    for one, other in [*pairs, ("on-strong", "strong")]:
        low, high = sorted((luminance(colours[one]), luminance(colours[other])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (one, other)
    low, high = sorted((luminance(colours["edge"]), luminance(colours["panel"])))
    assert (high + 0.05) / (low + 0.05) >= 3  # of what can be operated


def test_there_are_two_schemes() -> None:
    assert len(SCHEMES) == 2
