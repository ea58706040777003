"""``pi-client demo`` as a process, and a headless Chromium that looks at its page."""

import http.client
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from processes import ENVIRONMENT, ROOT


class Demo:
    """A demo that runs, and calls of its page's server as the page makes them."""

    def __init__(self, folder: Path) -> None:
        self.temporary = folder
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "pi_client.cli", "demo", "--no-browser"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=ENVIRONMENT | {"TMPDIR": str(folder), "PI_SERVE_INSECURE": "true"},  # of another server
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # nohup's is to ignore it
        )

    def meet(self) -> None:
        """Read where the page is, and get its cookie."""
        assert self.popen.stdout is not None
        self.address = self.popen.stdout.readline().split()[-1]
        self.host = urlsplit(self.address).netloc
        self.origin = f"http://{self.host}"
        path = urlsplit(self.address)
        answer = self.call("GET", f"{path.path}?{path.query}", raw=True)
        self.cookie = answer.getheader("set-cookie", "").partition(";")[0]

    def call(self, method: str, target: str, body: bytes = b"", *, raw: bool = False) -> Any:
        connection = http.client.HTTPConnection(self.host, timeout=120)
        headers = {"origin": self.origin} | ({"cookie": self.cookie} if hasattr(self, "cookie") else {})
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer if raw else json.loads(content)

    def run(self, picture: bytes, **choice: str) -> tuple[int, list[dict[str, Any]]]:
        """The number of an inference and its events, once it has ended."""
        chosen = {"backend": "gmw", "link": "loopback", "reveal": "label", "relus": "full"} | choice
        query = "&".join(f"{name}={value}" for name, value in chosen.items())
        number = self.call("POST", f"/api/runs?{query}", picture)["run"]
        connection = http.client.HTTPConnection(self.host, timeout=120)
        connection.request("GET", f"/api/runs/{number}/events", headers={"cookie": self.cookie})
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return number, [json.loads(line.removeprefix("data: ")) for line in lines if line]

    def stop(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """As Ctrl-C does; the exit code and what it said last."""
        self.popen.send_signal(how)
        _, said = self.popen.communicate(timeout=60)
        return self.popen.returncode, said


@contextmanager
def demo_running(folder: Path) -> Iterator[Demo]:
    """A demo, until the block ends."""
    demo = Demo(folder)
    try:
        demo.meet()
        yield demo
    finally:
        if demo.popen.poll() is None:
            demo.stop()


def chromium() -> str | None:
    """Path of the driver of a Chromium that is installed (Debian: chromium, chromium-driver)."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return shutil.which("chromedriver") if browser else None


@contextmanager
def browser(driver: str, folder: Path) -> Iterator[Any]:
    """A headless Chromium without a profile, which notes every request."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={folder}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    page = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield page
    finally:
        page.quit()
