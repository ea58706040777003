"""The picture at the head of the README: a real run of ``pi-client demo``, as headless Chromium shows it.

    python scripts/demo_picture.py [OUT]

Needs Chromium and its driver (Debian: chromium, chromium-driver).
"""

import argparse
import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

OUT: Final = Path(__file__).resolve().parents[1] / "docs" / "img" / "demo.webp"
WIDTH: Final = 1280
LAYER: Final = "stages.1.0.relu2"
_PATIENCE_S: Final = 180
_RUN: Final = """
document.querySelector('#samples button[value=ship]').click();
document.querySelector('input[value=scores]').click();
"""
_SLIDE: Final = """
const layer = document.getElementById('layer');
layer.value = arguments[0];
layer.dispatchEvent(new Event('input'));
"""
_IDLE: Final = "document.getElementById('run').getAttribute('aria-disabled') === 'false'"


_NAMES: Final = """
const done = arguments[arguments.length - 1];
fetch('/api/runs/0/layers').then((answer) => answer.json()).then((found) => done(found.layers.map((one) => one.name)));
"""


@contextmanager
def demo() -> Iterator[str]:
    """The address of a demo that runs meanwhile."""
    command = [sys.executable, "-m", "pi_client.cli", "demo", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline() if process.stdout else ""
        try:
            yield line.split()[-1]
        finally:
            process.terminate()


def photographed(page: Any, address: str) -> Image.Image:
    """The page after one inference, down to the shares of a ReLU layer."""

    def until(condition: str) -> None:
        WebDriverWait(page, _PATIENCE_S).until(lambda _: page.execute_script(f"return {condition}"))

    page.get(address)
    until("document.querySelectorAll('#samples button').length")
    page.execute_script(_RUN)
    until("document.getElementById('status').textContent.startsWith('ship')")
    page.execute_script("document.getElementById('run').click()")
    until(_IDLE)
    page.execute_script(_SLIDE, page.execute_async_script(_NAMES).index(LAYER))
    until(f"document.getElementById('layers').dataset.drawn === '{LAYER}'")
    bottom = "document.getElementById('layers').getBoundingClientRect().bottom + scrollY"
    size = {"width": WIDTH, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    size["height"] = page.execute_script(f"return Math.ceil({bottom} + 12)")
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    return Image.open(io.BytesIO(page.get_screenshot_as_png())).convert("RGB")


def main() -> None:
    """Take and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", nargs="?", type=Path, default=OUT)
    driver = shutil.which("chromedriver")
    if driver is None:
        raise SystemExit("demo_picture: expected chromedriver, found none: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        f"--window-size={WIDTH},900",
    ):
        options.add_argument(argument)
    with demo() as address:
        page = webdriver.Chrome(options=options, service=Service(driver))
        try:
            photographed(page, address).save(parser.parse_args().out, quality=82, method=6)
        finally:
            page.quit()


if __name__ == "__main__":
    main()
