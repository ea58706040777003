import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pi_system.artifact import Preprocess
from pi_system.errors import InputError
from pi_system.inputs.picture import MAX_PIXELS, load_picture, load_pictures

GREY = Preprocess(channels=1, height=4, width=4, mean=(0.5,), std=(0.25,), classes=("a",))
COLOUR = Preprocess(channels=3, height=4, width=4, mean=(0.0, 0.5, 0.0), std=(1.0, 0.5, 1.0), classes=("a",))
RAW = Preprocess(channels=1, height=4, width=4, mean=(0.0,), std=(1.0,), classes=("a",))
RED_RAW = Preprocess(channels=3, height=4, width=4, mean=(0.0,) * 3, std=(1.0,) * 3, classes=("a",))


def saved(tmp_path: Path, picture: Any, name: str = "picture.png", **options: Any) -> Any:
    path = tmp_path / name
    picture.save(path, **options)
    return path


def flat(mode: Any, colour: Any, size: Any = (4, 4)) -> Any:
    return Image.new(mode, size, colour)


def test_grey_is_scaled_and_normalised(tmp_path: Path) -> None:
    values = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17
    loaded = load_picture(saved(tmp_path, Image.fromarray(values)), GREY)
    assert loaded.shape == (1, 4, 4)
    assert loaded.dtype == np.float32
    assert np.allclose(loaded[0], (values / 255 - 0.5) / 0.25)


def test_channels_have_their_own_mean_and_std(tmp_path: Path) -> None:
    loaded = load_picture(saved(tmp_path, flat("RGB", (255, 0, 51))), COLOUR)
    assert np.allclose(loaded[:, 0, 0], [1.0, -1.0, 0.2])


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        pytest.param(flat("RGBA", (255, 0, 0, 255)), (1, 0, 0), id="opaque RGBA"),
        pytest.param(flat("RGBA", (255, 0, 0, 0)), (1, 1, 1), id="transparent over white"),
        pytest.param(flat("RGBA", (0, 0, 0, 51)), (0.8, 0.8, 0.8), id="half transparent"),
        pytest.param(flat("LA", (0, 0)), (1, 1, 1), id="grey with alpha"),
        pytest.param(flat("L", 51), (0.2, 0.2, 0.2), id="grey"),
        pytest.param(flat("1", 1), (1, 1, 1), id="black and white"),
        pytest.param(flat("RGB", (255, 0, 0)).quantize(4), (1, 0, 0), id="palette"),
        pytest.param(Image.fromarray(np.full((4, 4), 65535 // 5, np.uint16)), (0.2, 0.2, 0.2), id="16 bit"),
        pytest.param(Image.fromarray(np.full((4, 4), 40000, np.uint16)), (0.61, 0.61, 0.61), id="16 bit, light"),
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, picture: Any, expected: tuple[float, ...] | tuple[int, ...]) -> None:
    loaded = load_picture(saved(tmp_path, picture), RED_RAW)
    assert np.allclose(loaded[:, 1, 1], expected, atol=0.005)


def test_palette_with_transparency(tmp_path: Path) -> None:
    picture = flat("RGB", (255, 0, 0)).quantize(4)
    loaded = load_picture(saved(tmp_path, picture, transparency=0), RED_RAW)
    assert np.allclose(loaded, 1.0)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg(tmp_path: Path, mode: str) -> None:
    colour = {"RGB": (255, 255, 255), "L": 255, "CMYK": (0, 0, 0, 0)}[mode]
    loaded = load_picture(saved(tmp_path, flat(mode, colour, (9, 9)), "picture.jpg"), RED_RAW)
    assert np.allclose(loaded, 1.0, atol=0.02)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    values = np.zeros((4, 4), np.uint8)
    values[0] = 255  # light at the top
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise: light on the right
    loaded = load_picture(saved(tmp_path, Image.fromarray(values), exif=exif), RAW)
    assert np.allclose(loaded[0], values.T[:, ::-1] / 255)


@pytest.mark.parametrize("size", [(8, 4), (4, 8), (40, 20), (2, 1), (1, 3), (400, 200)])
def test_other_sizes_are_scaled_and_cropped_in_the_centre(tmp_path: Path, size: tuple[int, ...]) -> None:
    ramp = np.linspace(0, 255, size[0] * size[1]).reshape(size[1], size[0]).astype(np.uint8)
    loaded = load_picture(saved(tmp_path, Image.fromarray(ramp)), RAW)
    assert loaded.shape == (1, 4, 4)
    assert abs(float(loaded.mean()) - 0.5) < 0.1


def test_crop_takes_the_centre(tmp_path: Path) -> None:
    values = np.zeros((4, 12), np.uint8)
    values[:, 4:8] = 200
    loaded = load_picture(saved(tmp_path, Image.fromarray(values)), RAW)
    assert np.allclose(loaded, 200 / 255)


def test_extreme_proportions_stay_small(tmp_path: Path) -> None:
    assert load_picture(saved(tmp_path, flat("L", 51, (50_000, 1))), RAW).shape == (1, 4, 4)


def test_invert_turns_dark_on_light_only(tmp_path: Path) -> None:
    inverting = Preprocess(**(RAW.model_dump() | {"invert": True}))
    assert np.allclose(load_picture(saved(tmp_path, flat("L", 204)), inverting), 0.2)
    assert np.allclose(load_picture(saved(tmp_path, flat("L", 51)), inverting), 0.2)


def test_batch_is_stacked(tmp_path: Path) -> None:
    paths = [saved(tmp_path, flat("L", 51 * i), f"{i}.png") for i in range(3)]
    loaded = load_pictures(paths, RAW)
    assert loaded.shape == (3, 1, 4, 4)
    assert np.allclose(loaded[:, 0, 0, 0], [0, 0.2, 0.4])
    with pytest.raises(InputError):
        load_pictures([], RAW)


def png_bomb(width: Any, height: Any) -> Any:
    """A small PNG that announces a large picture."""

    def chunk(kind: Any, body: Any) -> Any:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def broken_files() -> Iterator[Any]:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(buffer, "PNG")
    whole = buffer.getvalue()
    gif = io.BytesIO()
    flat("L", 0).save(gif, "GIF")
    yield pytest.param(b"", id="empty")
    yield pytest.param(b"this is not a picture\n", id="text")
    yield pytest.param(gif.getvalue(), id="another format")
    yield pytest.param(whole[: len(whole) // 2], id="truncated")
    yield pytest.param(whole[:100] + bytes(50) + whole[150:], id="damaged")
    yield pytest.param(whole[:20], id="header only")
    yield pytest.param(png_bomb(9000, 9000), id="over our limit")
    yield pytest.param(png_bomb(60_000, 60_000), id="bomb")
    yield pytest.param(png_bomb(0, 0), id="no pixels")
    yield pytest.param(b"\xff\xd8\xff\xe0" + bytes(100), id="broken JPEG")


@pytest.mark.parametrize("content", list(broken_files()))
def test_broken_files_are_one_input_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"picture\.png: expected") as caught:
        load_picture(path, RAW)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "found"), [("missing.png", "no such file"), (".", "a folder")])
def test_path_without_a_file(tmp_path: Path, name: str, found: str) -> None:
    with pytest.raises(InputError, match=f"expected a picture, found {found}"):
        load_picture(tmp_path / name, RAW)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize(
    "picture", [flat("L", 51), flat("RGB", (51, 51, 51)), Image.fromarray(np.full((4, 4), 65535 // 5, np.uint16))]
)
def test_tiff_is_as_png(tmp_path: Path, picture: Any, compression: str | None) -> None:
    as_png = load_picture(saved(tmp_path, picture), RAW)
    assert np.array_equal(load_picture(saved(tmp_path, picture, "a.tif", compression=compression), RAW), as_png)


WHITE_IS_ZERO = Image.fromarray(np.full((4, 4), 1000, np.uint16))


@pytest.mark.parametrize(
    ("picture", "options", "found"),
    [
        (flat("L", 0), {"save_all": True, "append_images": [flat("L", 9)]}, "of one picture, found 2"),
        (flat("F", 0.5), {}, "found F: make it .npy"),
        (flat("I", 5), {}, "found I: make it .npy"),
        (WHITE_IS_ZERO, {"tiffinfo": {262: 0}}, "found I;16: make it .npy"),
    ],
)
def test_tiff_of_which_no_picture_can_be_said_is_refused(
    tmp_path: Path, picture: Any, options: dict[str, Any], found: str
) -> None:
    with pytest.raises(InputError, match=rf"a\.tiff: expected .*{found}"):
        load_picture(saved(tmp_path, picture, "a.tiff", **options), RAW)


def test_limit_is_below_pillows() -> None:
    assert MAX_PIXELS < (Image.MAX_IMAGE_PIXELS or 0)
