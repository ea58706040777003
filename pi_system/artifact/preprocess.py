"""How a picture becomes the network's input: part of the public artifact, so that both sides agree on it.

A picture is rotated by its EXIF orientation, flattened onto white if it has transparency, converted to
``channels`` channels, resized so that its shorter side fits, centre-cropped to (height, width), scaled to
[0, 1] and normalised per channel as (x - mean) / std. Other inputs come as arrays, whose values are normalised as they
are (``pi_system/inputs``).
"""

from pydantic import BaseModel, ConfigDict, model_validator


class Preprocess(BaseModel):
    """Geometry, normalisation and class names of a network's input.

    Attributes:
        channels: 1 (grey) or 3 (RGB) of pictures, 1 to 4096 of arrays.
        height: pixels.
        width: pixels.
        mean: one value a channel, of pixels scaled to [0, 1] or of an array's values.
        std: one positive value a channel.
        classes: the name of each class, in the order of the logits; of a network with one output the name of that.
        invert: digits are light on dark; True inverts a dark-on-light picture before normalising.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    invert: bool = False

    @model_validator(mode="after")
    def _check(self) -> "Preprocess":
        if not 0 < self.channels <= 4096:
            raise ValueError(f"channels: expected 1..4096, found {self.channels}")
        if not (0 < self.height <= 4096 and 0 < self.width <= 4096):
            raise ValueError(f"height, width: expected 1..4096, found {self.height}, {self.width}")
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError(f"mean, std: expected {self.channels} values each")
        if min(self.std) <= 0:
            raise ValueError("std: expected positive values")
        if not self.classes or not all(0 < len(name) <= 128 and name.isprintable() for name in self.classes):
            raise ValueError("classes: expected at least one name, each of 1..128 printable characters")
        return self
