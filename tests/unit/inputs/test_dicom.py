"""DICOM as a viewer shows it: transforms, windows, turned greys, colours; and what is refused."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from pi_system.artifact import Preprocess
from pi_system.errors import ConfigError, InputError
from pi_system.inputs import check_inputs, load_inputs
from pi_system.inputs.dicom import is_dicom, read_dicom

STORED = (np.arange(16, dtype=np.int16).reshape(4, 4) - 8) * 100
RAW = Preprocess(channels=1, height=4, width=4, mean=(0.0,), std=(1.0,), classes=("a",))


def written(path: Path, values: Any = STORED, **changes: Any) -> Path:
    """A file with ``values``; a change to None leaves an element out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    syntax = changes.pop("syntax", ExplicitVRLittleEndian)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.PatientName = "Secret^Name"
    dataset.Rows, dataset.Columns = values.shape[:2]
    dataset.SamplesPerPixel = values.shape[2] if values.ndim == 3 else 1
    dataset.PhotometricInterpretation = "MONOCHROME2" if values.ndim == 2 else "RGB"
    dataset.BitsAllocated = dataset.BitsStored = 8 * values.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    if values.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PixelData = values.tobytes()
    for name, value in changes.items():
        setattr(dataset, name, value)
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def seen(path: Path) -> Any:
    return np.asarray(read_dicom(path, 100)).astype(int)


def test_without_a_window_it_is_the_pictures_own_range(tmp_path: Path) -> None:
    assert np.array_equal(seen(written(tmp_path / "a.dcm")), np.arange(16).reshape(4, 4) * 17)
    assert not seen(written(tmp_path / "flat.dcm", np.full((4, 4), 7, np.int16))).any()


def test_a_window_is_of_rescaled_values(tmp_path: Path) -> None:
    path = written(tmp_path / "a.dcm", RescaleSlope=2, RescaleIntercept=-100, WindowCenter=0.5, WindowWidth=1001)
    expected = np.clip((2 * STORED - 100 + 500) / 1000, 0, 1) * 255
    assert np.abs(seen(path) - expected).max() <= 0.5


def test_the_first_of_several_windows_counts(tmp_path: Path) -> None:
    one = written(tmp_path / "a.dcm", WindowCenter=0, WindowWidth=400)
    two = written(tmp_path / "b.dcm", WindowCenter=[0, 300], WindowWidth=[400, 50])
    assert np.array_equal(seen(one), seen(two))
    assert len(np.unique(seen(one))) > 2


def test_more_is_lighter_whatever_the_file_says(tmp_path: Path) -> None:
    usual = seen(written(tmp_path / "a.dcm"))
    assert np.array_equal(255 - usual, seen(written(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1")))


def test_colours_and_run_lengths(tmp_path: Path) -> None:
    colours = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(seen(written(tmp_path / "a.dcm", colours)), colours)
    assert np.array_equal(seen(written(tmp_path / "b.dcm", syntax=RLELossless)), seen(written(tmp_path / "c.dcm")))


def test_it_is_an_input_like_a_picture_whatever_it_is_called(tmp_path: Path) -> None:
    path = written(tmp_path / "IM000001")
    assert is_dicom(path)
    check_inputs([path])
    inputs, names = load_inputs([path], RAW)
    assert np.allclose(inputs[0, 0], np.arange(16).reshape(4, 4) / 15)
    assert names == (str(path),)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"NumberOfFrames": 2}, "of one picture, found 2"),
        ({"Rows": 3000, "Columns": 30000}, "found 3000 x 30000"),
        ({"Rows": 0}, "found 0 x 4"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "found PALETTE COLOR, 16"),
        ({"syntax": DeflatedExplicitVRLittleEndian}, "not deflated"),
        ({"PixelData": b"\0\0"}, "cannot be read"),
        ({"WindowCenter": 1, "WindowWidth": -5}, "cannot be read"),
    ],
)
def test_what_cannot_be_shown_is_one_line_without_the_header(
    tmp_path: Path, changes: dict[str, Any], found: str
) -> None:
    path = written(tmp_path / "a.dcm", **changes)
    with pytest.raises(InputError, match=rf"a\.dcm: expected .*{found}") as caught:
        check_inputs([path])
    assert "\n" not in str(caught.value)
    assert "Secret" not in str(caught.value)


def test_damaged_files_are_one_input_error(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.dcm").read_bytes()
    for length in range(132, len(whole), 37):
        (tmp_path / "a.dcm").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"a\.dcm: expected"):
            check_inputs([tmp_path / "a.dcm"])


def test_without_the_extra_it_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ConfigError, match=r'pip install "pi-system\[dicom\]"'):
        check_inputs([written(tmp_path / "a.dcm")])


def test_it_is_imported_for_dicom_alone(tmp_path: Path) -> None:
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    code = (
        "import sys; from pathlib import Path; from pi_system.inputs import check_inputs\n"
        f"check_inputs([Path({str(tmp_path / 'a.png')!r})]); sys.exit('pydicom' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
