"""Arrays as inputs: every form that is read, every other one InputError in one line."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pi_system.artifact.preprocess import Preprocess
from pi_system.errors import InputError
from pi_system.inputs import check_inputs, load_inputs
from pi_system.inputs.arrays import load_arrays

FIVE = Preprocess(
    channels=5, height=2, width=3, mean=(1.0, 0.0, 0.0, 0.0, 2.0), std=(1.0, 1.0, 2.0, 1.0, 1.0), classes=("a", "b")
)
PLAIN = Preprocess(channels=1, height=2, width=3, mean=(0.0,), std=(1.0,), classes=("a", "b"))
ROW = Preprocess(channels=4, height=1, width=1, mean=(0.0,) * 4, std=(1.0,) * 4, classes=("price",))


def saved(path: Path, values: Any) -> Path:
    np.save(path, values)
    return path


def test_values_are_normalised_by_channel(tmp_path: Path) -> None:
    values = np.arange(30, dtype=np.float64).reshape(5, 2, 3)
    (found,) = load_arrays(saved(tmp_path / "x.npy", values), FIVE)
    assert found.dtype == np.float32
    assert np.array_equal(found[0], values[0] - 1)
    assert np.array_equal(found[2], values[2] / 2)
    assert np.array_equal(found[4], values[4] - 2)


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3), (6,), (1, 6), (1, 1, 2, 3)])
def test_axes_of_length_one_may_be_missing(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.arange(6, dtype=np.float32)
    found = load_arrays(saved(tmp_path / "x.npy", values.reshape(shape)), PLAIN)
    assert np.array_equal(found, values.reshape(1, 1, 2, 3))


def test_several_inputs_get_names_of_their_own(tmp_path: Path) -> None:
    many = saved(tmp_path / "many.npy", np.ones((3, 2, 3), np.int64))
    Image.fromarray(np.full((2, 3), 51, np.uint8)).save(tmp_path / "one.png")
    inputs, names = load_inputs([many, tmp_path / "one.png"], PLAIN)
    assert inputs.shape == (4, 1, 2, 3)
    assert names == (f"{many}[0]", f"{many}[1]", f"{many}[2]", str(tmp_path / "one.png"))
    assert np.allclose(inputs[3], 0.2)


def test_bytes_are_pixels(tmp_path: Path) -> None:
    pixels = np.full((2, 3), 51, np.uint8)
    assert np.allclose(load_arrays(saved(tmp_path / "x.npy", pixels), PLAIN), 0.2)
    assert np.allclose(load_arrays(saved(tmp_path / "y.npy", pixels.astype(np.int16)), PLAIN), 51)


@pytest.mark.parametrize("head", ["", "rooms,area,age,tax\n", "\ufeff"])
def test_rows_of_a_table(tmp_path: Path, head: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(head + "1,2.5,-3,4e2\n\n5, 6,7,8\r\n", encoding="utf-8")
    found, names = load_inputs([path], ROW)
    assert found[:, :, 0, 0].tolist() == [[1, 2.5, -3, 400], [5, 6, 7, 8]]
    assert names == (f"{path}[0]", f"{path}[1]")


def npy(values: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def unusable() -> Iterator[Any]:
    whole = npy(np.zeros((2, 3)))
    announced = whole[:10] + whole[10:128].replace(b"(2, 3)", b"(2, 9)") + whole[128:]
    yield pytest.param("x.npy", b"", id="empty")
    yield pytest.param("x.npy", b"PK\x03\x04" + bytes(40), id="archive")
    yield pytest.param("x.npy", whole[:60], id="half a header")
    yield pytest.param("x.npy", announced, id="more announced than there is")
    yield pytest.param("x.npy", npy(np.array(["a"] * 6)), id="text")
    yield pytest.param("x.npy", npy(np.zeros(6, np.complex64)), id="complex")
    yield pytest.param("x.npy", npy(np.zeros((2, 4))), id="shape")
    yield pytest.param("x.npy", npy(np.zeros((0, 2, 3))), id="no inputs")
    yield pytest.param("x.npy", npy(np.full((2, 3), np.nan)), id="not finite")
    yield pytest.param("x.csv", b"", id="empty table")
    yield pytest.param("x.csv", b"a,b\n", id="names alone")
    yield pytest.param("x.csv", b"1,2,3,4,5,6\n1,2,3\n", id="ragged")
    yield pytest.param("x.csv", b"1,2,3\n", id="too short")
    yield pytest.param("x.csv", b"1,2,3,4,5,6\n1,2,3,4,5,x\n", id="a word")
    yield pytest.param("x.csv", b"1,2,3,4,5,inf\n", id="infinite")
    yield pytest.param("x.csv", b"\xff\xfe\x00\x81", id="binary")


@pytest.mark.parametrize(("name", "content"), list(unusable()))
def test_what_cannot_be_used_is_one_input_error(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.(npy|csv).*: expected") as caught:
        load_inputs([path], PLAIN)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"1;2;3\n", b"1,2,3,\n", b"a,b\n", b""])
def test_a_table_without_a_row_of_numbers_is_told_what_a_row_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(InputError, match="expected rows of numbers with commas between them, found none"):
        load_inputs([tmp_path / "x.csv"], PLAIN)


def test_code_in_an_array_is_not_run(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(InputError):
        load_arrays(tmp_path / "x.npy", PLAIN)


def test_a_picture_is_refused_where_channels_are_not_a_pictures(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2)).save(tmp_path / "x.png")
    with pytest.raises(InputError, match="the network takes 5 channels"):
        load_inputs([tmp_path / "x.png"], FIVE)
    with pytest.raises(InputError, match="no such file"):
        load_inputs([tmp_path / "missing.npy"], FIVE)
    with pytest.raises(InputError, match="at least one file"):
        load_inputs([], FIVE)


def test_files_are_read_before_anybody_says_what_is_expected(tmp_path: Path) -> None:
    np.save(tmp_path / "good.npy", np.zeros(5))
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "bad.npy").write_bytes(b"no array")
    good = [tmp_path / "good.npy", tmp_path / "good.png"]
    check_inputs(good)
    for name in ("bad.png", "bad.npy", "none.png", "none.csv"):
        with pytest.raises(InputError, match=name):
            check_inputs([*good, tmp_path / name])
