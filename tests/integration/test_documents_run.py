"""Every console block of README and docs runs as it stands, page by page, but those marked with a reason."""

from pathlib import Path

import numpy as np
import pytest
import torch
from console import Page, blocks, runnable
from PIL import Image
from processes import ROOT
from torch import nn

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = [page for page in PAGES if any(block.language == "console" for block in runnable(page.read_text()))]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_runs_as_it_stands(page: Path, tmp_path: Path) -> None:
    running = Page(tmp_path)
    try:
        for block in blocks(page.read_text()):
            if block.reason is None:
                running.run(block)
    finally:
        running.end()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/reference/python-api.md"])
def test_its_python_runs_as_it_stands(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block, with a network, inputs and a photo such as a reader has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save("photo.jpg")
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2)).eval()
    inputs = torch.from_numpy(rng.random((16, 3, 8, 8), np.float32))
    first = next(block for block in blocks((ROOT / page).read_text()) if block.language == "python")
    exec(compile(first.text, page, "exec"), {"net": net, "calibration": inputs, "batch": inputs})
