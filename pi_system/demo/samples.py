"""Pictures that the demo offers: drawn here, so that they are nobody's."""

import io
from collections.abc import Callable
from typing import Final

from PIL import Image, ImageDraw, ImageFilter

_SIZE: Final = 256


def _gradient(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Image.Image:
    """A background from one colour to another."""
    column = Image.new("RGB", (1, 2))
    column.putpixel((0, 0), top)
    column.putpixel((0, 1), bottom)
    return column.resize((_SIZE, _SIZE), Image.Resampling.BICUBIC)


def _ship() -> Image.Image:
    picture = _gradient((168, 205, 235), (214, 232, 243))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 165, 256, 256), fill=(38, 84, 128))
    draw.polygon(((28, 148), (232, 148), (206, 186), (58, 186)), fill=(60, 44, 42))
    draw.rectangle((74, 118, 176, 148), fill=(232, 232, 228))
    draw.rectangle((92, 98, 150, 118), fill=(205, 60, 48))
    draw.rectangle((182, 92, 188, 148), fill=(90, 90, 96))
    for row in range(3):
        draw.line((0, 198 + 18 * row, 256, 192 + 20 * row), fill=(70, 122, 168), width=3)
    return picture


def _airplane() -> Image.Image:
    picture = _gradient((96, 156, 222), (190, 220, 244))
    draw = ImageDraw.Draw(picture)
    draw.polygon(((30, 132), (206, 104), (232, 112), (206, 128), (44, 146)), fill=(236, 238, 242))
    draw.polygon(((112, 122), (150, 116), (104, 196), (86, 198)), fill=(198, 202, 210))
    draw.polygon(((118, 116), (146, 112), (120, 66), (106, 66)), fill=(210, 214, 220))
    draw.polygon(((32, 134), (60, 130), (38, 88), (24, 90)), fill=(196, 52, 46))
    return picture


def _car() -> Image.Image:
    picture = _gradient((190, 206, 214), (208, 214, 214))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 172, 256, 256), fill=(96, 98, 102))
    draw.polygon(((66, 138), (92, 98), (168, 98), (200, 138)), fill=(170, 30, 34))
    draw.polygon(((80, 136), (98, 106), (126, 106), (126, 136)), fill=(150, 190, 208))
    draw.polygon(((134, 136), (134, 106), (162, 106), (184, 136)), fill=(150, 190, 208))
    draw.rounded_rectangle((24, 134, 234, 182), 16, fill=(196, 38, 42))
    for x in (74, 186):
        draw.ellipse((x - 26, 160, x + 26, 212), fill=(24, 24, 26))
        draw.ellipse((x - 11, 175, x + 11, 197), fill=(176, 178, 182))
    return picture


def _frog() -> Image.Image:
    picture = _gradient((112, 138, 78), (92, 74, 48))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((58, 92, 198, 216), fill=(76, 142, 52))
    for x in (86, 170):
        draw.ellipse((x - 26, 62, x + 26, 114), fill=(92, 160, 62))
        draw.ellipse((x - 15, 72, x + 15, 102), fill=(238, 230, 150))
        draw.ellipse((x - 7, 80, x + 7, 96), fill=(18, 18, 16))
    draw.arc((88, 118, 168, 172), 10, 170, fill=(34, 74, 26), width=6)
    draw.ellipse((34, 176, 104, 224), fill=(66, 126, 46))
    draw.ellipse((152, 176, 222, 224), fill=(66, 126, 46))
    return picture


_Draws = Callable[[], Image.Image]
SAMPLES: Final[dict[str, _Draws]] = {"ship": _ship, "airplane": _airplane, "car": _car, "frog": _frog}
"""What they are drawn to show; what a network sees in them is its own affair."""


def sample_png(name: str) -> bytes:
    """A sample as a PNG file. Raises KeyError: there is none of that name."""
    file = io.BytesIO()
    SAMPLES[name]().filter(ImageFilter.GaussianBlur(1.2)).save(file, "PNG")
    return file.getvalue()
