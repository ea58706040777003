"""``pi-client demo``: real parties behind a page, in a real browser where there is one."""

import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from demo_page import Demo, browser, chromium, demo_running
from PIL import Image
from safetensors.numpy import load_file

from pi_system.artifact.store import load
from pi_system.demo.samples import SAMPLES, sample_png
from pi_system.inputs import load_image
from pi_system.networks import artifact_folder
from pi_system.program.encoding import encode_input
from pi_system.program.fixed_point import fixed_logits

DRIVER = chromium()
NARROW, WIDE = 360, 1280
BUILTIN = load(artifact_folder("cifar10"))
WAIT_S = 120


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with demo_running(tmp_path_factory.mktemp("demo")) as running:
        yield running


def expected_label(picture: bytes) -> str:
    encoded = load_image(Image.open(io.BytesIO(picture)), BUILTIN.public.preprocess)[None]
    return BUILTIN.public.preprocess.classes[int(fixed_logits(BUILTIN, encoded)[1].argmax())]


def test_an_inference_ends_with_the_label_and_its_shares_add_up(demo: Demo) -> None:
    picture = sample_png("ship")
    number, events = demo.run(picture)
    (done,) = [event for event in events if event["event"] == "done"]
    result = done["result"]
    assert result["predictions"][0]["label"] == expected_label(picture)
    assert (result["reveal"], result["predictions"][0]["logits"]) == ("label", None)
    online = [event for event in events if event["event"] == "step" and event["phase"] == "online"]
    assert sum(step["sent_bytes"] for step in online) == result["online_bytes"]["client_to_server"]
    assert sum(step["received_bytes"] for step in online) == result["online_bytes"]["server_to_client"]
    assert sum(step["rounds"] for step in online) == result["online_rounds"]
    view = demo.call("GET", f"/api/runs/{number}/picture")
    assert (view["masked_test"]["uniform"], view["plain_test"]["uniform"]) == (True, False)
    names = [layer["name"] for layer in demo.call("GET", f"/api/runs/{number}/layers")["layers"]]
    assert {node.name for node in BUILTIN.public.graph.relus()} | {"input"} <= set(names)
    (folder,) = demo.temporary.glob("pi-demo-*")
    server, client = (load_file(folder / f"run-{number}" / f"{party}.safetensors") for party in ("server", "client"))
    encoded = load_image(Image.open(io.BytesIO(picture)), BUILTIN.public.preprocess)[None]
    plain = encode_input(encoded, BUILTIN.public.graph, BUILTIN.public.ring)
    modulus = 1 << BUILTIN.public.ring.ring_bits
    total = (server["input"].astype(object) + client["input"].reshape(plain.shape).astype(object)) % modulus
    assert np.array_equal(total, plain.astype(object) % modulus)
    for node in BUILTIN.public.graph.relus():
        values = (server[node.name].astype(object) + client[node.name].astype(object)) % modulus
        active = values[BUILTIN.masks[node.name].reshape(values.shape)] if node.masked else values
        assert (active < modulus // 2).all()  # what a ReLU puts out is not negative
        layer = demo.call("GET", f"/api/runs/{number}/layers/{node.name}")
        assert layer["server"]["test"]["uniform"]
        assert layer["client"]["test"]["uniform"]


@pytest.mark.parametrize(("backend", "relus", "count"), [("table", "half", 7500), ("fss", "full", 15000)])
def test_other_backends_links_and_networks_answer_too(demo: Demo, backend: str, relus: str, count: int) -> None:
    choice = {"backend": backend, "link": "lan", "reveal": "scores", "relus": relus}
    number, events = demo.run(sample_png("ship"), **choice)
    result = events[-1]["result"]
    assert (result["backend"], result["reveal"], result["relus"]) == (backend, "scores", count)
    assert demo.call("GET", f"/api/runs/{number}/picture")["masked_test"]["uniform"]


def test_what_is_no_picture_is_a_line_and_the_next_one_is_answered(demo: Demo) -> None:
    _, events = demo.run(b"no picture")
    assert events[-1]["event"] == "failed"
    assert events[-1]["message"] == "picture: expected a PNG, JPEG, TIFF or DICOM picture, found something else"
    assert not [event for event in events if event["event"] == "step"]


@pytest.fixture(scope="module")
def page(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if DRIVER is None:
        pytest.skip("needs Chromium and its driver (Debian: apt-get install chromium chromium-driver)")
    with browser(DRIVER, tmp_path_factory.mktemp("profile")) as found:
        found.get(demo.address)
        until(found, "document.querySelectorAll('#samples button').length")
        yield found


def until(page: Any, condition: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(page, WAIT_S, 0.05).until(lambda _: page.execute_script(f"return {condition}"))


def ended(page: Any) -> None:
    until(page, "document.getElementById('run').getAttribute('aria-disabled') === 'false'")
    assert page.execute_script("return document.getElementById('error').hidden")


def text(page: Any, name: str) -> str:
    return str(page.execute_script(f"return document.getElementById('{name}').textContent"))


def test_a_picture_that_is_chosen_gives_the_label_and_the_panels(page: Any, tmp_path: Path) -> None:
    picture = sample_png("airplane")
    (tmp_path / "mine.png").write_bytes(picture)
    page.find_element("id", "file").send_keys(str(tmp_path / "mine.png"))
    page.find_element("id", "run").click()
    ended(page)
    assert text(page, "label") == expected_label(picture)
    found = page.execute_script(
        "return ['masked-test', 'plain-test', 'share-server-test', 'share-client-test']"
        ".map((id) => document.getElementById(id).dataset.uniform)"
    )
    assert found == ["true", "false", "true", "true"]
    painted = "return [...document.getElementById('masked').getContext('2d').getImageData(0, 0, 32, 32).data]"
    pixels = np.array(page.execute_script(painted)).reshape(32, 32, 4)
    assert len(np.unique(pixels[:, :, :3])) > 200


def test_nothing_is_scrolled_sideways(page: Any) -> None:
    for width in (NARROW, WIDE):
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth"), width
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_keyboard_is_enough(page: Any) -> None:
    from selenium.webdriver import ActionChains, Keys

    page.refresh()
    until(page, "document.querySelectorAll('#samples button').length")

    def press(*keys: str) -> None:
        ActionChains(page).send_keys(*keys).perform()

    def tab_to(condition: str) -> None:
        for _ in range(40):
            press(Keys.TAB)
            if page.execute_script(f"const at = document.activeElement; return {condition}"):
                outline = "return getComputedStyle(document.activeElement.closest('label') ?? document.activeElement)"
                assert page.execute_script(f"{outline}.outlineStyle") != "none"
                return
        raise AssertionError(condition)

    tab_to("at.value === 'frog'")
    press(Keys.ENTER)
    until(page, "document.getElementById('status').textContent.startsWith('frog')")
    tab_to("at.name === 'reveal'")
    press(Keys.ARROW_RIGHT)
    tab_to("at.id === 'run'")
    press(Keys.ENTER)
    ended(page)
    assert text(page, "label") in BUILTIN.public.preprocess.classes
    assert text(page, "cost").startswith("learnedscores")
    tab_to("at.id === 'layer'")
    press(Keys.ARROW_RIGHT)
    until(page, "document.getElementById('layer-name').textContent.startsWith('2 of ')")


def test_a_file_that_is_none_is_told_on_the_page(page: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    page.find_element("id", "file").send_keys(str(tmp_path / "notes.png"))
    page.find_element("id", "run").click()
    until(page, "!document.getElementById('error').hidden")
    assert "picture" in text(page, "error")
    assert page.execute_script("return document.getElementById('error').getAttribute('role')") == "alert"


def test_nothing_was_asked_of_anybody_else(page: Any, demo: Demo) -> None:
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    urls = [one["request"]["url"] for one in asked if not one["documentURL"].startswith("chrome:")]
    assert len(urls) > 5
    assert [url for url in urls if not url.startswith((demo.origin + "/", "data:", "blob:"))] == []
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_every_sample_is_nobodys_and_seen_as_drawn() -> None:
    names = {"ship": "ship", "airplane": "airplane", "car": "automobile", "frog": "frog"}
    assert {name: expected_label(sample_png(name)) for name in SAMPLES} == names


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])  # the second: its terminal was closed
def test_one_that_is_told_to_stop_leaves_nothing_either(tmp_path: Path, how: signal.Signals) -> None:
    with demo_running(tmp_path) as demo:
        assert demo.stop(how) == (130, "error: stopped\n")
    assert list(tmp_path.iterdir()) == []


def test_last_of_all_it_ends_as_by_ctrl_c_and_leaves_nothing(demo: Demo) -> None:
    demo.run(b"no picture")  # its parties run by then
    children = psutil.Process(demo.popen.pid).children(recursive=True)
    assert len(children) >= 3
    assert [path.stat().st_mode & 0o777 for path in demo.temporary.glob("pi-demo-*")] == [0o700]
    assert demo.stop() == (130, "error: stopped\n")
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert list(demo.temporary.iterdir()) == []
