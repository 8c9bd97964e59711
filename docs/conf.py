"""How Sphinx makes the site from what `docs/site.py` gathers."""

import importlib.util
import json
import re
from base64 import b64decode
from hashlib import sha256
from pathlib import Path

from docutils import nodes

from docs.live import call_in, name_of

# One file of MathJax with its fonts inside, from the package that brings it.
MATHJAX = importlib.util.find_spec("sphinx-mathjax-offline").submodule_search_locations[0]
CITATION = Path(__file__).resolve().parents[1] / "CITATION.cff"
ADDRESS = re.search(r"^repository-code: (\S+)", CITATION.read_text(encoding="utf-8"), re.MULTILINE)

project = "CNN Lessons"
extensions = ["myst_nb"]
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
# Sphinx does not know of places in raw HTML. tests/test_site.py looks up every link of the pages.
suppress_warnings = ["myst.xref_missing"]

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = [f"{MATHJAX}/static/mathjax/tex-svg-full.js", "site.css"]
html_css_files = ["site.css"]
html_favicon = "icon.svg"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_show_sphinx = html_show_copyright = False
mathjax_path = "tex-svg-full.js"
html_theme_options = {"show_navbar_depth": 1, "use_fullscreen_button": False}
if ADDRESS:  # which `make links` writes
    html_theme_options["repository_url"] = ADDRESS[1]
    html_theme_options["path_to_docs"] = ""
    html_theme_options["launch_buttons"] = {"colab_url": "https://colab.research.google.com"}

FRAME = """<iframe class="live explorer" src="../live/{name}.html" title="{title}" loading="lazy">
</iframe>
<p class="explorer">Live, without a kernel. <a href="../live/{name}.html">Open it alone</a></p>
"""


def for_the_site(lesson: dict, steppers: list[str]) -> dict:
    """A lesson without the badge, a picture from another server, and with what is live.

    These are links to its steppers, and its explorers: each in place of its stored view, that stays
    for paper: see site.css.
    """
    links = " and ".join(f"[{name}](../networks/{name}.md)" for name in steppers)
    cells = []
    for cell in lesson["cells"]:
        cells.append(cell)
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            text = re.sub(r"^\[!\[Open in Colab\].*\n\n", "", text, flags=re.MULTILINE)
            if links and text.startswith("## Step through"):
                text += f"\n\nOn this site, without a kernel: {links}."
            cell["source"] = text
        elif call := call_in(cell):
            cell["metadata"]["tags"] = [*cell["metadata"].get("tags", ()), "live"]
            frame = FRAME.format(name=name_of(call), title=name_of(call).partition("-")[0])
            shown = {"id": f"live-{len(cells)}", "cell_type": "markdown", "metadata": {}}
            cells.append(shown | {"source": frame})
    return {**lesson, "cells": cells}


def words_of_pictures(lesson: dict) -> dict[str, str]:
    """What is said of each picture, by the name that MyST-NB gives its file."""
    outputs = [output for cell in lesson["cells"] for output in cell.get("outputs", ())]
    return {
        sha256(b64decode(output["data"]["image/png"])).hexdigest(): words
        for output in outputs
        if (words := output.get("metadata", {}).get("image/png", {}).get("alt"))
    }


def setup(app):
    """Changes what is shown of a lesson; the notebook to download stays as it is."""
    words = {}

    def read(app, page, content):
        if page.startswith("notebooks/"):
            lesson = json.loads(content[0])
            words.update(words_of_pictures(lesson))
            pages = sorted((Path(app.srcdir) / "networks").glob("*.md"))
            own = [each.stem for each in pages if f"{page}.ipynb" in each.read_text("utf-8")]
            content[0] = json.dumps(for_the_site(lesson, own))

    def name_pictures(app, document):
        for picture in document.findall(nodes.image):
            picture["alt"] = words.get(Path(picture["uri"]).stem) or picture.get("alt", "")

    app.connect("source-read", read)
    app.connect("doctree-read", name_pictures)
