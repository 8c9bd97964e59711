"""The course as a web site: links, pictures and formulas, and that it fetches nothing.

`make test-site` runs it, and test_slides.py whole. It needs Sphinx; what is done in a browser needs
what test_browser needs.
"""

import gzip
import json
import re
from base64 import b64decode
from functools import partial
from hashlib import sha256
from html import escape
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from itertools import pairwise, zip_longest
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest

from tests.chromium import CHROMIUM, MISSING
from tests.store_notebooks import NOTEBOOKS

if not all(map(find_spec, ("sphinx_book_theme", "myst_nb", "sphinx-mathjax-offline"))):
    pytest.skip("`make test-site` installs what makes the site", allow_module_level=True)

from cnn_lessons import data
from cnn_lessons.see import explorers
from cnn_lessons.see.explorers import KERNELS, PLACES, inception_rows
from docs import live, site

LESSONS = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
# What a page loads by itself when it is read.
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
NOT_LOADED = {"canonical", "next", "prev", "search", "index"}


class Page(HTMLParser):
    """The places, links and pictures of a page, and what it loads."""

    def __init__(self, text: str):
        super().__init__()
        self.places, self.links, self.alts, self.loaded = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = {name: value or "" for name, value in attributes}
        self.places |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "img":
            self.alts.append(found.get("alt", ""))
        if tag in LOADS and LOADS[tag] in found and found.get("rel") not in NOT_LOADED:
            self.loaded.append(found[LOADS[tag]])


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site, with the stepper of one network."""
    place = tmp_path_factory.mktemp("site") / "built"
    site.build(place, ["LeNet5"])
    return place


@pytest.fixture(scope="module")
def pages(built):
    texts = {path: path.read_text(encoding="utf-8") for path in built.rglob("*.html")}
    return {path: Page(text) for path, text in texts.items() if "_static" not in path.parts}


def broken(links: list[str], path: Path, pages: dict[Path, Page]) -> list[str]:
    """The links to places of the site that there are not."""
    wrong = []
    for link in links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        place = unquote(parts.fragment)
        there = target.is_file() and (target not in pages or place in pages[target].places | {""})
        if not there:
            wrong.append(link)
    return wrong


def test_every_link_and_every_file_is_there(pages):
    assert len(pages) >= len(LESSONS) + 6
    found = {path: broken(page.links + page.loaded, path, pages) for path, page in pages.items()}
    assert not {path.name: links for path, links in found.items() if links}


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="no site"):
        site.build(tmp_path, [])
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_broken_link_is_found(built, pages):
    path = built / "index.html"
    wrong = ["nowhere.html", "#nowhere", "notebooks/00_start_here.html#nowhere", "nothing.png"]
    right = ["notebooks/00_start_here.html#story", "#", "https://example.org/nowhere"]
    assert broken(right + wrong, path, pages) == wrong


def test_what_is_loaded_is_found():
    text = '<script src="//a/b.js"></script><link rel="stylesheet" href="https://c/d.css">'
    text += '<img src="data:x"><a href="https://e"></a><link rel="next" href="f.html">'
    assert Page(text).loaded == ["//a/b.js", "https://c/d.css", "data:x"]


def test_nothing_is_loaded_from_elsewhere(built, pages):
    loaded = [link for page in pages.values() for link in page.loaded]
    assert len(loaded) > 100 and not [link for link in loaded if urlsplit(link).netloc]
    styles = [path.read_text(encoding="utf-8") for path in built.rglob("*.css")]
    assert styles and not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", "".join(styles))


@pytest.mark.parametrize("name", LESSONS)
def test_pictures_keep_their_words_and_the_notebook_can_be_had(name, built, pages):
    path = built / "notebooks" / f"{name}.html"
    lesson = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    outputs = [one for cell in lesson["cells"] for one in cell.get("outputs", ())]
    shown = [one for one in outputs if "image/png" in one.get("data", ())]
    words = [one["metadata"]["image/png"]["alt"] for one in shown]
    assert [alt for alt in pages[path].alts if alt in words] == words and all(words)
    assert f"../_sources/notebooks/{name}.ipynb" in pages[path].links
    had = built / "_sources" / "notebooks" / f"{name}.ipynb"
    assert had.read_bytes() == (NOTEBOOKS / f"{name}.ipynb").read_bytes()


def test_lessons_follow_one_another_and_lead_to_their_steppers(built, pages):
    links = {name: pages[built / f"notebooks/{name}.html"].links for name in LESSONS}
    for before, after in pairwise(LESSONS):
        assert f"{after}.html" in links[before] and f"{before}.html" in links[after]
    # Each page has it in its list of contents, its own lesson in the text as well.
    own, other = (links[name].count("../networks/LeNet5.html") for name in LESSONS[1:3])
    assert own == other + 1 > 1
    assert {site.lesson_of(name) for name in site.TRAINED} == {f"{n}.ipynb" for n in LESSONS[1:6]}


# --- the explorers --------------------------------------------------------------------------------


def stored(path: Path) -> dict:
    """What the page of an explorer unpacks: its controls and its views."""
    packed = re.search(r'id="data">([^<]+)<', path.read_text(encoding="utf-8"))[1]
    return json.loads(gzip.decompress(b64decode(packed)))


def meant(control: dict, panel) -> tuple[str, list]:
    """The name of a control of a page, and the values that its words stand for."""
    found = ((n, f) for n, f in panel.controls.items() if f.description == control["name"])
    name, field = next(found)
    values = dict(getattr(field, "options", ())) or {"on": True, "off": False}
    return name, [int(word) if control["slider"] else values[word] for word in control["words"]]


def leaves(views, controls, panel, state):
    """Values that the words of a page stand for, each with its view, or None beyond a limit."""
    if not controls:
        yield state, views
        return
    one, *rest = controls
    name, values = meant(one, panel)
    assert 0 < len(views) <= len(values)
    for value, part in zip_longest(values, views):
        now = state | {name: value}
        yield from leaves(part, rest, panel, now) if part else [(now, None)]


def settings(state: dict) -> dict:
    """With the numbers that a chosen kernel, or a row of Table 1, writes into the other fields."""
    if "kernel" in state and "w00" in state:
        weights, divisor = KERNELS[state["kernel"]]
        return state | dict(zip(PLACES, weights)) | {"divisor": divisor}
    return state | (inception_rows()[state["row"]] if "ch1x1" in state else {})


# Whose last control has as many values as the ones before it leave.
LIMITED = "explorers.Convolution", "explorers.Pooling", "explorers.Receptive"


@pytest.mark.parametrize("call", live.CALLS, ids=live.name_of)
def test_every_stored_view_is_what_the_explorer_draws(call, built):
    path = built / "live" / f"{live.name_of(call)}.html"
    page, panel = stored(path), live.explorer(call)
    start, count, refused = panel.state(), 0, 0
    for control in page["controls"]:
        name, values = meant(control, panel)
        assert values[control["start"]] == start[name]
    for state, shown in leaves(page["views"], page["controls"], panel, {}):
        if shown is None:
            refused += 1
            with pytest.raises(ValueError, match=r"must be 0 to \d+"):
                panel.compute(**settings(start | state))
            continue
        view, count = panel.compute(**settings(start | state)), count + 1
        parts = view.svg, escape(view.sentence), view.table._repr_html_()
        assert all(part in shown for part in parts), state
    assert count >= 6 and bool(refused) == call.startswith(LIMITED)
    assert path.stat().st_size < 1_500_000


@pytest.mark.parametrize("name", LESSONS)
def test_every_explorer_of_a_lesson_is_live_and_begins_as_it_is_stored(name, built, pages):
    lesson = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    cells = [c for c in lesson["cells"] if c["cell_type"] == "code"]
    shown = [
        c for c in cells if re.search(r"^explorers\.\w+\(", "".join(c["source"]), re.MULTILINE)
    ]
    calls = [live.call_in(cell) for cell in shown]
    assert all(calls)
    address = [f"../live/{live.name_of(call)}.html" for call in calls]
    page = pages[built / f"notebooks/{name}.html"]
    assert [link for link in page.loaded if link.startswith("../live/")] == address
    assert [link for link in page.links if link.startswith("../live/")] == address
    for cell, call in zip(shown, calls):
        text = (built / "live" / f"{live.name_of(call)}.html").read_text(encoding="utf-8")
        words = "".join(cell["outputs"][-1]["data"]["text/plain"])  # others stand before it
        assert f">{escape(words)}</p>" in text


def test_every_page_of_an_explorer_is_in_a_lesson(built, pages):
    shown = [link for path, page in pages.items() if path.parent.name == "notebooks"
             for link in page.loaded if link.startswith("../live/")]  # fmt: skip
    assert len(shown) == len(set(shown)) == len(live.CALLS)


def test_all_files_are_as_their_sums_say(built):
    lines = (built / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    files = {p.relative_to(built).as_posix(): p for p in built.rglob("*") if p.is_file()}
    assert list(sums) == sorted(files.keys() - {"SHA256SUMS"}) and len(sums) > 100
    assert sums == {name: sha256(files[name].read_bytes()).hexdigest() for name in sums}


def test_the_badge_of_another_server_is_left_out():
    text = "# 1\n\n[![Open in Colab](https://host/badge.svg)](https://host/x)\n\nwords\n"
    lesson = {"cells": [{"cell_type": "markdown", "source": [text]}]}
    configuration: dict = {"__file__": site.REPOSITORY / "docs/conf.py"}
    exec((site.REPOSITORY / "docs/conf.py").read_text(encoding="utf-8"), configuration)
    assert configuration["for_the_site"](lesson, [])["cells"][0]["source"] == "# 1\n\nwords\n"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        """The log of a test is for what went wrong."""


@pytest.fixture(scope="module")
def server(built):
    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(built)))
    Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}/"
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="`make test-site` installs it")
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser, server):
    """Opens a page of the site, and holds that it asks nobody else and complains of nothing."""
    said, asked, contexts = [], [], []

    def open_page(address, width=1280, **how):
        context = browser.new_context(viewport={"width": width, "height": 900}, **how)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(300_000)  # a busy machine is slow, not wrong
        page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address if ":" in address else server + address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not said
    assert not [url for url in asked if not url.startswith((server, "file:", "data:", "blob:"))]


FORMULAS = """() => {
  const all = [...document.querySelectorAll('.math')];
  return [all.length, all.filter((one) => one.querySelector('mjx-container svg')).length,
          document.querySelectorAll('[data-mjx-error]').length];
}"""
CUT_OFF = """() => [...document.querySelectorAll('.bd-article *')].filter(
  (one) => !one.closest('.math') && getComputedStyle(one).overflowX != 'visible'
           && one.scrollWidth > one.clientWidth + 1
).map((one) => one.textContent.slice(0, 60))"""
WIDTH = "document.documentElement.scrollWidth"


@pytest.mark.parametrize("name", LESSONS)
def test_formulas_are_drawn_and_nothing_is_cut_off_on_a_phone_or_on_paper(name, visit):
    page = visit(f"notebooks/{name}.html", width=390)
    page.wait_for_function("document.querySelector('mjx-container svg')")
    page.wait_for_function("MathJax.startup.promise.then(() => true)")
    there, drawn, wrong = page.evaluate(FORMULAS)
    assert there == drawn > 0 and wrong == 0
    assert page.evaluate(WIDTH) == 390
    page.set_viewport_size({"width": 718, "height": 900})  # A4 within its margins
    page.emulate_media(media="print")
    assert page.evaluate(CUT_OFF) == [] and page.evaluate(WIDTH) == 718


def test_from_a_disk_too(visit, built):
    page = visit((built / "notebooks/05_resnet.html").as_uri())
    page.wait_for_function("document.querySelector('mjx-container svg')")
    page.locator("a.right-next").click()
    page.wait_for_url("**/06_compare.html")


def test_light_and_dark_are_chosen_by_the_reader(visit):
    colour = "getComputedStyle(document.body).backgroundColor"
    light = visit("index.html", color_scheme="light").evaluate(colour)
    page = visit("index.html", color_scheme="dark")
    assert page.evaluate(colour) != light
    for theme in ("light", "dark"):
        page.get_by_role("button", name="Color mode").click()
        page.get_by_role("button", name=theme.title(), exact=True).click()
        assert page.evaluate("document.documentElement.dataset.theme") == theme


def test_search_finds_a_word_of_a_lesson(visit):
    page = visit("search.html?q=Inception")
    page.locator('#search-results li a[href*="04_googlenet"]').first.wait_for()


def test_the_stepper_steps_within_the_site(visit):
    frame = visit("networks/LeNet5.html").frame_locator("iframe.live")
    first = frame.locator("#name").inner_text()
    frame.get_by_role("button", name="Next").click()
    second = frame.locator("#name").inner_text()
    assert first != second
    frame.locator("#steps").press("ArrowDown")
    assert frame.locator("#name").inner_text() not in (first, second)


CONVOLUTION = f"live/{live.name_of(next(c for c in live.CALLS if 'input=8' in c))}.html"


def test_an_explorer_is_moved_by_keys_on_a_phone_and_from_a_disk(visit, built):
    page = visit((built / CONVOLUTION).as_uri(), width=390)
    said = page.locator("#view p")
    for name, key, now in (
        ("Position", "End", (8, 3, 2, 1, 1, 15)),
        ("Position", "ArrowLeft", (8, 3, 2, 1, 1, 14)),
        ("Kernel", "End", (8, 5, 2, 1, 1, 8)),  # 3x3 units are left, the last of them is number 8
        ("Stride", "Home", (8, 5, 1, 1, 1, 8)),
        ("Position", "End", (8, 5, 1, 1, 1, 35)),
    ):
        page.get_by_label(name).press(key)
        assert said.inner_text() == explorers.convolution(*now).sentence
    assert page.get_by_label("Position").get_attribute("aria-valuetext") == "35"
    assert page.evaluate(WIDTH) == 390


def test_an_explorer_within_a_lesson_is_chosen_and_clicked(visit):
    page = visit("notebooks/00_start_here.html")
    page.locator("iframe.explorer").first.scroll_into_view_if_needed()  # it is loaded only then
    frame = page.frame_locator("iframe.explorer >> nth=0")
    frame.get_by_label("Kernel").select_option("blur")
    output = frame.locator("[data-rows]")
    box = output.bounding_box()
    output.click(position={"x": box["width"] * 20.6 / 30, "y": box["height"] * 9.4 / 30})
    view = explorers.filtering(data.ship(32), *KERNELS["blur"], row=9, column=20)
    assert frame.locator("#view p").inner_text() == view.sentence


def test_an_explorer_stands_for_its_stored_view_but_on_paper(visit):
    page = visit("notebooks/04_googlenet.html")
    live_one = page.locator("iframe.explorer")
    printed, *stored_view = page.locator(".tag_live > .cell_output > *").all()
    picture, words = stored_view
    assert "weights against" in printed.inner_text() and "3.9 times" in words.text_content()
    assert picture.locator("img").count() == 1
    assert live_one.is_visible() and printed.is_visible()
    assert not any(part.is_visible() for part in stored_view)
    page.emulate_media(media="print")
    assert all(part.is_visible() for part in (printed, *stored_view))
    assert not live_one.is_visible()


@pytest.mark.parametrize("name", sorted(map(live.name_of, live.CALLS)))
def test_an_explorer_is_light_and_dark_and_every_control_moves_it(name, visit, built):
    page = visit(f"live/{name}.html", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(255, 255, 255)"
    for control in reversed(stored(built / f"live/{name}.html")["controls"]):
        field, before = page.get_by_label(control["name"], exact=True), page.inner_html("#view")
        at = field.input_value()
        for key in ("Home", "End"):
            field.press(key)
        if field.input_value() == at:
            field.press("Home")
        assert page.inner_html("#view") != before, control["name"]
