"""Folders and patterns stand for the inputs in them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pi_system.errors import InputError
from pi_system.inputs import find_files


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    (folder / "inner.png").mkdir(parents=True)
    for name in ("b.png", "a.JPG", "d.tiff", "e.dcm", "c.npy", "f.csv", ".hidden.png", "notes.txt", "a[1].png"):
        (folder / name).touch()
    return folder


def test_a_folder_is_its_inputs_by_name(scans: Path) -> None:
    names = ["a.JPG", "a[1].png", "b.png", "c.npy", "d.tiff", "e.dcm", "f.csv"]
    assert find_files([scans]) == [scans / name for name in names]
    assert find_files([scans / "b.png", scans])[:2] == [scans / "b.png", scans / "a.JPG"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.png", ["a[1].png", "b.png"]),
        ("?.*", ["a.JPG", "b.png", "c.npy", "d.tiff", "e.dcm", "f.csv"]),
        ("[bc].*", ["b.png", "c.npy"]),
        ("a[1].png", ["a[1].png"]),  # a file of that name comes first
    ],
)
def test_a_pattern_is_what_matches(scans: Path, pattern: str, names: list[str]) -> None:
    assert find_files([scans / pattern]) == [scans / name for name in names]


@pytest.mark.parametrize("given", ["inner.png", "*.txt", "*.gif"])
def test_nothing_found_says_what_was_expected(scans: Path, given: str) -> None:
    with pytest.raises(
        InputError, match=r"expected PNG, JPEG, TIFF, DICOM \(\.dcm\), \.npy or \.csv files .*found none"
    ):
        find_files([scans / given])


def test_a_file_that_is_missing_is_told_where_it_is_read(tmp_path: Path) -> None:
    assert find_files([tmp_path / "none.png"]) == [tmp_path / "none.png"]


def test_names_of_arrays_and_pictures(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    Image.new("L", (2, 2)).save(tmp_path / "b.png")
    assert [path.name for path in find_files([tmp_path])] == ["a.npy", "b.png"]
