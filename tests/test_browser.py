"""The stepper in a real JupyterLab: what a learner presses and clicks, and what the page shows.

`make test-browser` runs it. It needs a Chromium and the Python package playwright.
"""

import base64
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

from cnn_lessons.shapes import record
from cnn_lessons.stepper import step

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="`make test-browser` installs playwright"
)

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
if CHROMIUM is None:
    pytest.skip(
        f"no browser: install one of {', '.join(NAMES)}, or name it in CHROMIUM",
        allow_module_level=True,
    )
FLAGS = ["--disable-gpu", "--disable-background-networking", "--disable-component-update"]
QUIET = {"fetchNews": "false", "checkForUpdates": False}  # nothing asked, nothing fetched

NETWORKS = ["LeNet5()", "ResNet(18, num_classes=10, stem='3x3')"]
SETUP = """import torch
from cnn_lessons.models import LeNet5, ResNet
torch.manual_seed(0)
torch.set_num_threads(1)
pictures = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(1)).byte()
images = pictures.float() / 127.5 - 1
model = {}
"""
PANEL = """from cnn_lessons.stepper import Stepper
Stepper(model, images, pictures, class_names=[f"class {k}" for k in range(10)])"""
# What any answer of a kernel costs on this machine: a number goes there, a text comes back.
ECHO = """import ipywidgets as W
number, text = W.BoundedIntText(0, 0, 1000, description="Echo"), W.HTML()
number.observe(lambda change: text.set_trait("value", f"{change['new']}"), "value")
W.VBox([number, text])"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab that knows nothing of the user's settings, and its folder."""
    folder, config, runtime = (tmp_path_factory.mktemp(name) for name in ("n", "config", "run"))
    settings = config / "lab/user-settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    places = {"JUPYTER_CONFIG_DIR": str(config), "JUPYTER_RUNTIME_DIR": str(runtime)}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--port={port}", "--IdentityProvider.token=secret", f"--notebook-dir={folder}"]
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=os.environ | places, stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while not (found := list(runtime.glob("jpserver-*.json"))):
        assert server.poll() is None and time.monotonic() < deadline, folder / "lab.log"
        time.sleep(0.2)
    yield json.loads(found[0].read_text())["url"], folder
    server.terminate()
    server.wait(30)


@pytest.fixture(scope="module")
def browser():
    flags = [*FLAGS, "--no-sandbox"] if os.name == "posix" and os.getuid() == 0 else FLAGS
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


class Opened(NamedTuple):
    """A page with a stepper, what its browser complained of, and what each step should show."""

    page: object
    complaints: list[str]
    expected: list


@pytest.fixture(scope="module", params=NETWORKS, ids=["LeNet-5", "ResNet-18"])
def opened(request, lab, browser):
    address, folder = lab
    cells = [SETUP.format(request.param), PANEL, ECHO]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    name = f"{request.param.partition('(')[0]}.ipynb"
    nbformat.write(notebook, folder / name)
    page, complaints = browser.new_page(viewport={"width": 1500, "height": 1000}), []
    page.on("console", lambda line: line.type == "error" and complaints.append(line.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{address}lab/tree/{name}?token=secret&reset", timeout=60_000)
    page.locator(".jp-CodeCell").nth(2).wait_for(timeout=60_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    page.locator(".jp-CodeCell").first.click()
    for _ in cells:
        page.keyboard.press("Shift+Enter")
    page.get_by_role("spinbutton", name="Echo").wait_for(timeout=60_000)
    page.locator(".cnn-steps").scroll_into_view_if_needed()
    yield Opened(page, complaints, expected_steps(request.param))
    page.close()


# From a key to the frame after the element has got its new content, in milliseconds.
STOPWATCH = """element => {
  window.times = []; let since = null;
  document.addEventListener("keydown", () => { since = performance.now(); }, true);
  new MutationObserver(() => requestAnimationFrame(() => {
    if (since !== null) window.times.push(performance.now() - since);
    since = null;
  })).observe(element, {subtree: true, childList: true, characterData: true});
}"""


def expected_steps(network: str) -> list:
    """What the stepper should show, computed here with the same weights and pictures."""
    threads, given = torch.get_num_threads(), {}
    exec(SETUP.format(network), given)
    recorded = record(given["model"], given["images"][:1], keep=True)
    pixels = given["pictures"][0].permute(1, 2, 0).numpy()
    names = [f"class {k}" for k in range(10)]
    steps = [step(recorded, k, given["model"], pixels, 0, names) for k in range(len(recorded))]
    torch.set_num_threads(threads)
    return steps


def assert_shown(page, expected) -> None:
    """The marked row, the arithmetic and the maps on the page are those of this step."""
    title = page.locator(".widget-html b").filter(has_text=f"{expected.number}: {expected.name}")
    title.wait_for(timeout=10_000)
    assert page.locator(".cnn-steps select").evaluate("box => box.selectedIndex") == expected.number
    details = page.locator(".widget-html", has=page.locator("b"))
    cells = details.locator("td").all_inner_texts()
    assert [text for _, text in expected.facts] == cells[: len(expected.facts)]
    sources = details.locator("img").evaluate_all("images => images.map(image => image.src)")
    assert_same_pixels(sources[0], expected.picture)
    assert_same_pixels(sources[1], expected.maps)


def assert_same_pixels(source: str, expected: np.ndarray) -> None:
    png = base64.b64decode(source.partition("base64,")[2])
    assert (np.array(Image.open(io.BytesIO(png))) == expected).all()


def test_every_layer_is_reached_by_keyboard(opened):
    rows = opened.page.get_by_role("listbox", name="Layers")
    rows.focus()
    rows.press("Home")
    assert_shown(opened.page, opened.expected[0])
    for expected in opened.expected[1:]:
        rows.press("ArrowDown")
        assert_shown(opened.page, expected)
    step_field = opened.page.get_by_role("spinbutton", name="Step")
    step_field.press("ArrowDown")
    assert_shown(opened.page, opened.expected[-2])


def test_every_layer_is_reached_by_mouse(opened):
    for expected in reversed(opened.expected):
        opened.page.locator(".cnn-steps option").nth(expected.number).click()
        assert_shown(opened.page, expected)
    for name, number in (("Next ▶", 1), ("Next ▶", 2), ("◀ Previous", 1)):
        opened.page.get_by_role("button", name=name).click()
        assert_shown(opened.page, opened.expected[number])


def test_another_picture_and_map_are_shown(opened):
    page = opened.page
    page.locator(".cnn-steps option").first.click()
    assert_shown(page, opened.expected[0])
    images = page.locator(".widget-html img")
    before = images.evaluate_all("images => images.map(image => image.src)")
    page.get_by_role("spinbutton", name="Map").press("ArrowUp")
    page.wait_for_function("old => document.querySelectorAll('.widget-html img')[2].src != old",
                           arg=before[2])  # fmt: skip
    page.get_by_role("combobox", name="Picture").select_option(index=1)
    page.wait_for_function("old => document.querySelectorAll('.widget-html img')[0].src != old",
                           arg=before[0])  # fmt: skip


def test_the_browser_has_nothing_to_complain_of(opened):
    assert opened.complaints == []


def test_the_picture_follows_the_key(opened, record_property, capsys):
    """Under 100 ms in the median, or on a slow day three times what any answer of a kernel takes.

    A bare number that goes to the kernel and comes back as a text is what the machine can do.
    """
    page = opened.page
    answer = page.locator(".widget-html").last
    echo = median_time(page, page.get_by_role("spinbutton", name="Echo"), "ArrowUp", 20, answer)
    rows = page.get_by_role("listbox", name="Layers")
    rows.press("Home")
    time.sleep(1)
    details = page.locator(".widget-html", has=page.locator("b"))
    steps = median_time(page, rows, "ArrowDown", len(opened.expected) - 1, details)
    record_property("milliseconds from key to picture, median", steps)
    with capsys.disabled():
        print(f"\nkey to picture: median {steps:.0f} ms, a bare answer {echo:.0f} ms")
    assert steps <= max(100, 3 * echo)


def median_time(page, target, key: str, times: int, watched) -> float:
    watched.evaluate(STOPWATCH)
    for count in range(times):
        target.press(key)
        page.wait_for_function("count => window.times.length > count", arg=count)
    return statistics.median(page.evaluate("window.times"))
