"""Panels in a real JupyterLab and Notebook: what a learner does, and what the page shows.

`make test-browser` runs it. It needs a Chromium and the Python package playwright.
"""

import base64
import io
import itertools
import json
import math
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import NamedTuple

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cnn_lessons.models import LeNet5
from cnn_lessons.see.explorers import inception_cost, inception_rows
from cnn_lessons.see.page import save_page
from cnn_lessons.see.stepper import table_lines
from cnn_lessons.see.steps import Step, coloured
from cnn_lessons.shapes import record
from tests.chromium import CHROMIUM, MISSING

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="`make test-browser` installs playwright"
)
expect = sync_api.expect
expect.set_options(timeout=120_000)  # a busy machine is slow, not wrong

if CHROMIUM is None:
    pytest.skip(MISSING, allow_module_level=True)
FLAGS = ["--disable-gpu", "--disable-background-networking", "--disable-component-update"]
QUIET = {"fetchNews": "false", "checkForUpdates": False}  # nothing asked, nothing fetched

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}

NETWORKS = {"LeNet-5": "LeNet5()", "ResNet-18": "ResNet(18, num_classes=10, stem='3x3')"}
# The test runs this too: what the page must show is computed, not written down.
SETUP = """import torch
from cnn_lessons.models import LeNet5, ResNet
torch.manual_seed(0)
model = {}
for values in model.parameters():  # a batch norm that changes nothing could not be seen
    if values.dim() == 1:
        torch.nn.init.uniform_(values)
pictures = torch.randint(0, 256, (2, 3, 32, 32)).byte()
images = pictures.float() / 127.5 - 1
class_names = [f"class {{k}}" for k in range(10)]"""
PANEL = """from cnn_lessons.see.explorers import inception_cost, inception_rows
from cnn_lessons.see.stepper import Stepper
Stepper(model, images, pictures, class_names=class_names)"""
# What any answer of a kernel costs on this machine: a number goes there, a text comes back.
ECHO = """import ipywidgets as W
number, text = W.BoundedIntText(0, 0, 1000, description="Echo"), W.HTML("<i>0</i>")
number.observe(lambda change: text.set_trait("value", f"<i>{change['new']}</i>"), "value")
W.VBox([number, text]).add_class("echo")"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab that neither reads nor changes the user's own, and its folder.

    Notebook has both front ends: itself and JupyterLab.
    """
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    places = {name: tmp_path_factory.mktemp(name) for name in names}
    folder, runtime = tmp_path_factory.mktemp("notebooks"), places["JUPYTER_RUNTIME_DIR"]
    settings = places["JUPYTER_CONFIG_DIR"] / "lab/user-settings/@jupyterlab/apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "notebook", "--no-browser", "--allow-root"]
    command += [f"--port={port}", "--IdentityProvider.token=secret", f"--notebook-dir={folder}"]
    log = runtime / "log"
    with log.open("w") as file:
        server = subprocess.Popen(command, env={**os.environ, **places}, stdout=file, stderr=file)
    deadline = time.monotonic() + 300
    while not (found := list(runtime.glob("jpserver-*.json"))):
        assert server.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    yield json.loads(found[0].read_text())["url"], folder
    server.terminate()
    server.wait(30)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


class Lesson(NamedTuple):
    """A page with a stepper, what it must show of each layer, and what its console has said."""

    page: sync_api.Page
    steps: list[Step]
    lines: list[str]
    messages: list[str]

    def press(self, role: str, name: str, key: str) -> None:
        self.page.get_by_role(role, name=name, exact=True).press(key)

    def go(self, number: int) -> None:
        self.page.get_by_label("Step", exact=True).fill(str(number))
        self.press("spinbutton", "Step", "Enter")


@pytest.fixture(scope="module", params=NETWORKS)
def lesson(request, lab, browser):
    """A notebook that the learner has just opened and run, with a fresh kernel."""
    setup = SETUP.format(NETWORKS[request.param])
    page, messages = opened(lab, browser, request.param, [setup, PANEL, ECHO])
    page.locator(".echo").wait_for()
    yield Lesson(page, *expected(setup), messages)
    page.close()


def opened(
    lab, browser, name: str, sources: list[str], front_end: str = "lab/tree"
) -> tuple[sync_api.Page, list[str]]:
    """A page with a new notebook, all of its cells started, and what its console says."""
    address, folder = lab
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(notebook, folder / f"{name}.ipynb")
    page = browser.new_page(viewport={"width": 1500, "height": 1000})
    page.set_default_timeout(300_000)
    messages = []
    page.on("console", lambda said: said.type == "error" and messages.append(said.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(f"{address}{front_end}/{name}.ipynb?token=secret&reset")
    if front_end == "notebooks":  # its sign says idle before there is a kernel
        sessions = partial(page.request.get, f"{address}api/sessions?token=secret")
        while name not in sessions().text() or '"idle"' not in sessions().text():
            page.wait_for_timeout(500)
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    else:
        page.get_by_text("| Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    return page, messages


def expected(setup: str) -> tuple[list[Step], list[str]]:
    """Each layer as `Step` tells it, and its line in the list."""
    ours = {}
    exec(setup, ours)
    image = ours["images"][:1]
    recorded = record(ours["model"], image, keep=True)
    pixels = ours["pictures"][0].permute(1, 2, 0).numpy()
    steps = [
        Step(recorded, number, ours["model"], pixels, None, ours["class_names"], image)
        for number in range(len(recorded))
    ]
    return steps, table_lines(recorded)[1]


READ = """details => ({
  facts: [...details.querySelectorAll('tr:has(th[scope=row])')].map(
    row => [...row.children].map(cell => cell.textContent)),
  lines: [...details.querySelectorAll('[aria-live]')].map(line => line.textContent),
  classes: [...details.querySelectorAll('td:first-child')].map(cell => cell.textContent),
  images: [...details.querySelectorAll('img')].map(image => image.src.split(',')[1]),
})"""


def check(lesson: Lesson, number: int) -> None:
    """The page shows this layer: its row is marked; name, arithmetic and pixels are right."""
    shown, details = lesson.steps[number], lesson.page.locator(".cnn-steps + .widget-html")
    expect(details.locator("b")).to_have_text(f"{number}: {shown.name}")
    expect(details.locator("[aria-live]").first).to_have_text(shown.value)  # of this unit, too
    expect(lesson.page.locator(".cnn-steps option:checked")).to_have_text(lesson.lines[number])
    expect(lesson.page.get_by_label("Step", exact=True)).to_have_value(str(number))
    seen = details.evaluate(READ)
    assert tuple(map(tuple, seen["facts"])) == shown.facts
    assert seen["lines"] == [shown.value, shown.text]
    assert seen["classes"] == [name for name, *_ in shown.scores]
    pictures = (shown.picture, shown.maps, shown.one_map, shown.kernel)
    wanted = [pixels for pixels in pictures if pixels is not None]
    for image, pixels in zip(seen["images"], wanted, strict=True):
        np.testing.assert_array_equal(Image.open(io.BytesIO(base64.b64decode(image))), pixels)


WAYS = {
    "arrow key in the list": lambda lesson, _: lesson.press("listbox", "Layers", "ArrowDown"),
    "number typed": lambda lesson, number: lesson.go(number),
    "Enter on Next": lambda lesson, _: lesson.press("button", "Next ▶", "Enter"),
    "click on a row": lambda lesson, number: (
        lesson.page.locator(".cnn-steps option").nth(number).click()
    ),
    "click on Next": lambda lesson, _: lesson.page.get_by_role("button", name="Next ▶").click(),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_layer_is_reached_and_shown(lesson, way):
    lesson.go(0)
    check(lesson, 0)
    for number in range(1, len(lesson.steps)):
        WAYS[way](lesson, number)
        check(lesson, number)


def test_the_pictures_of_the_layers_differ(lesson):
    """Else the test above could not see a picture that stays."""
    pictures = [shown.maps.tobytes() for shown in lesson.steps]
    same = sum(before == after for before, after in itertools.pairwise(pictures))
    assert same < 0.1 * len(pictures)


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("listbox", "Layers"),
        ("spinbutton", "Step"),
        ("spinbutton", "Map"),
        ("combobox", "Picture"),
        ("button", "◀ Previous"),
        ("button", "Next ▶"),
        ("checkbox", "Quiz"),
    ],
)
def test_a_screen_reader_finds_each_control_by_its_name(lesson, role, name):
    expect(lesson.page.get_by_role(role, name=name, exact=True)).to_have_count(1)


def test_another_picture_and_map_are_shown(lesson):
    page = lesson.page
    lesson.go(0)
    check(lesson, 0)
    image = page.locator(".cnn-steps + .widget-html img")
    picture, _, one_map, kernel = image.evaluate_all("images => images.map(image => image.src)")
    lesson.press("spinbutton", "Map", "ArrowUp")
    expect(image.nth(2)).not_to_have_attribute("src", one_map)
    expect(image.nth(3)).not_to_have_attribute("src", kernel)
    page.get_by_label("Picture", exact=True).select_option(index=1)
    expect(image.first).not_to_have_attribute("src", picture)
    page.get_by_label("Picture", exact=True).select_option(index=0)
    lesson.press("spinbutton", "Map", "ArrowDown")
    expect(image.first).to_have_attribute("src", picture)
    expect(image.nth(2)).to_have_attribute("src", one_map)


def test_any_unit_is_chosen_by_mouse_and_the_strip_follows_the_picture(lesson):
    page = lesson.page
    lesson.go(0)
    check(lesson, 0)
    details, strip = (
        page.locator(".cnn-steps + .widget-html"),
        page.locator(".jp-RenderedImage img"),
    )
    image, count = details.locator("img"), len(lesson.steps[0].names)
    columns = math.ceil(math.sqrt(count))

    def click(picture, across, down):
        box = picture.bounding_box()
        picture.click(position={"x": box["width"] * across, "y": box["height"] * down})

    click(image.nth(1), 1.5 / columns, 0.1)
    expect(details).to_contain_text("Map 1, row ")
    _, height, width = lesson.steps[0].size
    click(image.nth(2), 2.5 / width, 11.5 / height)
    expect(details).to_contain_text("Map 1, row 11, column 2: ")
    lesson.press("spinbutton", "Row", "ArrowUp")
    expect(details).to_contain_text("Map 1, row 12, column 2: ")
    before = strip.get_attribute("src")
    page.get_by_label("Picture", exact=True).select_option(index=1)
    expect(strip).not_to_have_attribute("src", before)
    page.get_by_label("Picture", exact=True).select_option(index=0)
    expect(strip).to_have_attribute("src", before)
    for name, value in zip(("Map", "Row", "Column"), lesson.steps[0].unit):
        page.get_by_label(name, exact=True).fill(str(value))
        lesson.press("spinbutton", name, "Enter")
    check(lesson, 0)


def test_the_whole_panel_is_seen_on_a_small_screen(lesson):
    """The place that JupyterLab leaves of 1280 by 720 pixels, with its list of files open."""
    page, panel = lesson.page, lesson.page.locator(".cnn-panel").first
    page.set_viewport_size({"width": 1280, "height": 720})
    try:
        for number in (0, len(lesson.steps) // 2, len(lesson.steps) - 1):
            lesson.go(number)
            check(lesson, number)
            size = panel.bounding_box()
            assert (
                size["height"] <= page.locator(".jp-WindowedPanel-outer").bounding_box()["height"]
            )
            assert panel.evaluate("box => box.scrollWidth <= box.clientWidth + 1")
    finally:
        page.set_viewport_size({"width": 1500, "height": 1000})


# From the key to the second frame after the pictures are decoded: the first is on the screen then.
WATCH = """shown => {
  window.delays = [];
  let pressed = null;
  addEventListener('keydown', event => { pressed = event.timeStamp }, true);
  new MutationObserver(async () => {
    if (pressed === null) return;
    const began = pressed;
    pressed = null;
    await Promise.all([...shown.querySelectorAll('img')].map(image => image.decode()));
    requestAnimationFrame(() => requestAnimationFrame(
      () => delays.push(performance.now() - began)));
  }).observe(shown, {childList: true, subtree: true});
}"""


def median_delay(page, shown, presses) -> float:
    """Milliseconds from each key to what it changes in the element `shown`."""
    shown.evaluate(WATCH)
    for count, press in enumerate(presses, start=1):
        press()
        page.wait_for_function("count => delays.length == count", arg=count)
    return statistics.median(page.evaluate("delays"))


def test_a_step_is_shown_soon_after_the_key(lesson, record_property, capsys):
    """Within 100 ms, or three times what any answer of a kernel takes on a slow machine."""
    page, last = lesson.page, len(lesson.steps) - 1
    echo = page.get_by_label("Echo")
    answers = [partial(echo.press, "ArrowUp") for _ in range(30)]
    answer = median_delay(page, page.locator(".echo .widget-html-content"), answers)
    lesson.go(0)
    check(lesson, 0)
    keys = ["ArrowDown"] * last + ["ArrowUp"] * last
    presses = [partial(lesson.press, "listbox", "Layers", key) for key in keys]
    details = page.locator(".cnn-steps + .widget-html .widget-html-content")
    delay = median_delay(page, details, presses)
    record_property("milliseconds from key to picture", round(delay))
    with capsys.disabled():
        print(f"\nfrom key to picture {delay:.0f} ms, any answer of the kernel {answer:.0f} ms")
    assert delay <= max(100, 3 * answer)


def test_the_console_stays_clean(lesson):
    """The last test on purpose: it reads what all the others have caused."""
    assert lesson.messages == []


# --- what the page does by itself -----------------------------------------------------------------

EXPLORER = """from cnn_lessons.see import explorers
explorers.InceptionCost()"""
BUSY = """import os, time
print("busy")
while not os.path.exists("go"):
    time.sleep(0.05)"""


@pytest.fixture(scope="module", params=["lab/tree", "notebooks"])
def panels(request, lab, browser):
    """A stepper and an explorer, whose kernel computes until there is a file called go."""
    (lab[1] / "go").unlink(missing_ok=True)
    sources = [SETUP.format("LeNet5()"), PANEL, EXPLORER, BUSY]
    page, messages = opened(lab, browser, "panels", sources, request.param)
    page.get_by_text("busy", exact=True).wait_for()
    yield page
    if request.param == "lab/tree":  # Notebook says what is its own
        assert messages == []
    page.close()


def test_a_panel_says_that_it_waits_while_the_kernel_is_busy(panels, lab):
    """It must come first: then the kernel works."""
    page, signs = panels, panels.locator(".cnn-sign")
    expect(signs).to_have_text(["", ""])
    try:
        page.get_by_label("Table 1", exact=True).select_option("row 4a")
        expect(signs).to_have_text(["", re.compile("Computing")])
        assert (
            page.locator(".cnn-waits [data-state]").evaluate("e => getComputedStyle(e).opacity")
            < "1"
        )
        page.get_by_role("button", name="Next ▶").click()
        expect(signs).to_have_text([re.compile("Computing")] * 2)
    finally:
        (lab[1] / "go").touch()
    expect(signs).to_have_text(["", ""])
    words = inception_cost(**inception_rows()["4a"]).sentence
    expect(page.locator("[data-state]").nth(1)).to_contain_text(words)
    expect(page.get_by_label("Step", exact=True)).to_have_value("1")


def test_a_number_that_is_being_typed_and_a_button_at_the_end_wait_for_nothing(panels):
    step, sign = panels.get_by_label("Step", exact=True), panels.locator(".cnn-sign").first
    step.click()
    panels.keyboard.type("2")
    panels.wait_for_timeout(700)
    expect(sign).to_be_empty()
    step.fill("0")
    step.press("Enter")
    back = panels.get_by_role("button", name="◀ Previous")
    back.click()
    expect(panels.locator(".cnn-steps + .widget-html b")).to_have_text("0: features.c1")
    expect(sign).to_be_empty()


# Each cell's kind, its text, and whether it is the active one; and whether one edits it.
CELLS = """() => [...document.querySelectorAll('.jp-Cell')].map(cell => [
  ...['jp-CodeCell', 'jp-mod-active'].map(name => cell.classList.contains(name)),
  cell.textContent.slice(0, 40)].join()
).concat(String(document.querySelector('.jp-Notebook.jp-mod-editMode')))"""
# What they would do to a cell: leave it, add, cut, change or delete one, restart, edit.
NASTY = ["ArrowDown", "ArrowUp", *"abxzmydd", "Delete", "0", "0", "Enter"]


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("listbox", "Layers"),
        ("combobox", "Picture"),
        ("spinbutton", "Step"),
        ("checkbox", "Quiz"),
        ("button", "Next ▶"),
        ("combobox", "Table 1"),
        ("spinbutton", "ch3x3"),
        ("slider", "ch3x3 slider"),
    ],
)
def test_keys_pressed_in_a_panel_stay_there(panels, role, name):
    """Else the arrows go to another cell, "a" adds one, and "dd" deletes the one with the panel."""
    control = panels.get_by_role(role, name=name, exact=True)
    control.focus()
    before = panels.evaluate(CELLS)
    for key in NASTY:
        control.press(key)
    assert panels.evaluate(CELLS) == before
    assert control.evaluate("control => control === document.activeElement")


def test_no_control_is_without_a_name(panels):
    nameless = panels.locator(".cnn-panel").get_by_role
    for role in ("button", "slider", "spinbutton", "combobox", "listbox", "checkbox", "textbox"):
        expect(nameless(role, name=re.compile("^$"))).to_have_count(0)


def test_a_hundred_clicks_in_a_second_are_all_answered(panels):
    panels.get_by_role("button", name="Next ▶").evaluate(
        "button => { for (let k = 0; k < 100; k++) button.click() }"
    )
    details = panels.locator(".cnn-steps + .widget-html")
    expect(details.locator("b")).to_have_text("9: classifier.output")
    expect(panels.locator(".cnn-sign").first).to_be_empty()


def test_shortcuts_with_ctrl_or_shift_are_still_jupyters(panels):
    """Shift + Enter runs the cell of the panel: the old panel makes room for a new one."""
    layers, active = panels.get_by_role("listbox", name="Layers"), panels.locator(".jp-mod-active")
    layers.focus()
    layers.press("Control+s")
    expect(panels.locator(".jp-mod-dirty")).to_have_count(0)
    layers.press("Shift+Enter")
    expect(active.filter(has_text="explorers")).not_to_have_count(0)
    expect(panels.locator(".cnn-steps + .widget-html b")).to_have_text("0: features.c1")
    expect(panels.locator(".cnn-panel")).to_have_count(2)
    panels.get_by_role("button", name="Next ▶").click()
    expect(panels.locator(".cnn-steps + .widget-html b")).to_have_text("1: features.s2")


# --- a kernel that dies ---------------------------------------------------------------------------

DIES = """import os, threading, time
def die():
    while not os.path.exists("die"):
        time.sleep(0.05)
    os._exit(1)
threading.Thread(target=die, daemon=True).start()"""


def test_two_steppers_of_one_model_do_not_meet_and_say_when_the_kernel_is_gone(lab, browser):
    setup = SETUP.format("LeNet5()")
    page, _ = opened(lab, browser, "gone", [setup, PANEL, PANEL + "  # again", DIES])
    names, signs = page.locator(".cnn-steps + .widget-html b"), page.locator(".cnn-sign")
    expect(names).to_have_text(["0: features.c1"] * 2)
    forth = page.get_by_role("button", name="Next ▶")
    forth.last.click()
    expect(names).to_have_text(["0: features.c1", "1: features.s2"])
    forth.first.click()
    forth.first.click()
    expect(names).to_have_text(["2: features.c3", "1: features.s2"])
    expect(signs).to_have_text(["", ""])
    (lab[1] / "die").touch()
    expect(signs).to_have_text([re.compile("The kernel is gone")] * 2)
    expect(page.locator(".cnn-waits [data-state]")).to_have_count(2)
    page.close()


# --- a guess --------------------------------------------------------------------------------------

ASK = """from cnn_lessons.see import predict, score
how_many = predict("How many times more?")
which = predict("Which of them?", ["first", "second", "third"])"""
TELL = """how_many.reveal(9)
which.reveal("second")
score()"""


def test_a_learner_commits_to_a_guess_by_keys_alone(lab, browser):
    page, messages = opened(lab, browser, "guess", [ASK, TELL])
    told = page.locator(".jp-OutputArea-output pre")
    expect(told).to_contain_text("No guess: it is 9.\nNo guess: it is second.")
    panels = page.locator(".cnn-panel")
    number, ways = page.get_by_label("Your guess", exact=True).first, page.get_by_role("radio")
    number.fill("nine")
    number.press("Enter")
    expect(panels.first).to_contain_text("A number, please")
    number.fill("8")
    number.press("Enter")
    expect(panels.first).to_contain_text("You say 8.")
    before = page.evaluate(CELLS)
    page.get_by_role("radio", name="first", exact=True).press("Space")
    expect(panels.last).to_contain_text("You say first.")
    ways.first.press("ArrowDown")
    expect(panels.last).to_contain_text("You say second.")
    for key in NASTY[2:]:
        ways.nth(1).press(key)
    assert page.evaluate(CELLS) == before
    page.locator(".jp-Cell").nth(1).click()
    page.keyboard.press("Control+Enter")
    expect(told).to_contain_text(
        "You said 8. It is 9: close.\nYou said second. It is second: right."
    )
    expect(told).to_contain_text("You answered 2 of 2: 1 right, 1 close.")
    page.get_by_role("button", name="Show me", exact=True).last.press("Enter")
    expect(panels.last).to_contain_text("No guess. Go on to see.")
    page.wait_for_timeout(700)
    expect(page.locator(".cnn-sign")).to_have_text(["", ""])
    assert messages == []
    page.close()


# --- a quiz, and a map to click on ----------------------------------------------------------------

QUIZ = PANEL.replace("class_names=class_names", "class_names=class_names, quiz=True")
CLICK = """from cnn_lessons import data
from cnn_lessons.see import explorers
explorers.Filtering(data.ship(16))"""


def test_a_size_is_guessed_and_a_unit_is_clicked(lab, browser):
    page, messages = opened(lab, browser, "quiz", [SETUP.format("LeNet5()"), QUIZ, CLICK])
    guess = page.get_by_label("Size of the output: maps, height, width", exact=True)
    guess.wait_for()
    details = page.locator(".cnn-steps + .widget-html")
    expect(details).to_contain_text("6 kernels of 5×5, stride 1, padding 0")
    expect(details.locator("img")).to_have_count(1)
    guess.fill("6, 28, 28")
    guess.press("Enter")
    expect(details).to_contain_text("1 of 1 at the first try.")
    expect(details.locator("img")).to_have_count(4)
    layers = page.get_by_role("listbox", name="Layers")
    expect(layers.locator("option").first).to_contain_text("28]")
    layers.press("ArrowDown")
    expect(details).to_contain_text("1: features.s2")
    page.get_by_role("button", name="Show me", exact=True).press("Enter")
    expect(details).to_contain_text("1 of 2 at the first try.")
    expect(page.get_by_label("Step", exact=True)).to_have_value("1")
    output = page.locator(".cnn-panel").last.locator("[data-rows]")
    box = output.bounding_box()
    output.click(position={"x": box["width"] * 2.5 / 14, "y": box["height"] * 11.5 / 14})
    expect(page.get_by_label("Row", exact=True).last).to_have_value("11")
    expect(page.get_by_label("Column", exact=True).last).to_have_value("2")
    expect(page.locator(".cnn-panel").last).to_contain_text("The unit in row 11, column 2 reads")
    page.wait_for_timeout(700)
    expect(page.locator(".cnn-sign")).to_have_text(["", ""])
    assert messages == []
    page.close()


# --- a page without a kernel ----------------------------------------------------------------------


class Mean(nn.Module):
    """One number for each picture: there is no size to guess."""

    def forward(self, maps):
        return maps.mean((1, 2))


VOLUME = nn.Unflatten(1, (1, 3))


@pytest.mark.parametrize(
    ("model", "sides", "sizes"),
    [
        (nn.Flatten(2), (8, 8), {"The output has": 3, "and width": 64}),
        (
            VOLUME,
            (8, 9),
            {"The output has": 1, "of depth": 3, "of height": 8, "and width": 9, "a unit sees": 1},
        ),
    ],
)
def test_a_saved_page_asks_for_all_sizes_that_there_are_and_for_no_others(
    model, sides, sizes, browser, tmp_path
):
    path = save_page(tmp_path / "page.html", model, torch.rand(1, 3, *sides))
    page = browser.new_page()
    page.goto(path.as_uri())
    page.get_by_role("checkbox").check()
    for label, size in sizes.items():
        page.get_by_label(label).fill(str(size))
    page.get_by_label("and width").press("Enter")
    expect(page.locator("#verdict")).to_have_text("")
    expect(page.locator("#score")).to_have_text("1 of 1 at the first try")
    page.close()


def test_a_saved_page_has_nothing_to_ask_about_a_number_for_each_picture(browser, tmp_path):
    model = nn.Sequential(nn.Flatten(2), Mean())
    page = browser.new_page()
    page.goto(save_page(tmp_path / "page.html", model, torch.rand(1, 3, 8, 8)).as_uri())
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#name")).to_have_text("1: 1 (Mean)")
    expect(page.locator("#guess")).to_be_hidden()
    page.close()


# The colour of the last unit of the first map.
LAST = """() => {
  const {height, width} = data.steps[state.step].maps[0], end = n => n * drawn.zoom - 1;
  return [...$('maps').getContext('2d').getImageData(end(width), end(height), 1, 1).data];
}"""


def test_a_saved_page_shows_and_tells_what_the_notebook_does(browser, tmp_path):
    """It has its own script for the colours, and for what a unit sees."""
    torch.manual_seed(0)
    model, images = LeNet5().eval(), torch.rand(1, 3, 32, 32)
    recorded = record(model, images, keep=True)
    page = browser.new_page()
    page.goto(save_page(tmp_path / "page.html", model, images).as_uri())
    for number in range(len(recorded)):
        shown = Step(recorded, number, model, image=images)
        expect(page.locator("#unit")).to_contain_text(f"For example, {shown.value}.")
        seen = shown.sees.replace("the unit sees", "the middle unit sees")
        expect(page.locator("#picture-words")).to_have_text(seen)
        truth = coloured(shown.output[0], shown.output.abs().max())[-1, -1].astype(int)
        assert np.abs(truth - page.evaluate(LAST)[:3]).max() <= 12, number  # of 42 shades a side
        page.locator("#steps").press("ArrowDown")
    page.close()
