"""The lessons as slides, which fetch nothing when shown: `python -m tests.slides [FOLDER]`.

nbconvert makes them; reveal.js and MathJax come out of the packages that bring them, the extra
`slides`. A heading begins a slide, and each text below it one further down, with the code and the
outputs behind it. The code before the first section and the answers are left out.
"""

import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter

from cnn_lessons.files import write_whole
from tests.store_notebooks import NOTEBOOKS, REPOSITORY

# What the pages need beside them: where it comes, of which package, and where it is in that.
ASSETS = (
    ("reveal/dist", "sphinx_revealjs", "_static/revealjs/dist"),
    ("tex-svg-full.js", "sphinx-mathjax-offline", "static/mathjax/tex-svg-full.js"),
)
# nbconvert's own page asks the network for reveal.js, MathJax and three more, and its figures have
# no words for whoever cannot see them.
TEMPLATE = """
{%- extends "index.html.j2" -%}
{%- block html_head_js -%}
<script>MathJax = {tex: {inlineMath: [["$", "$"]]}}</script>
<script src="tex-svg-full.js" defer></script>
{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_css -%}
<style>
  .reveal .slides { text-align: left; }
  .reveal .slides section section { height: 100%; overflow-y: auto; }
  .reveal h1, .reveal h2, .reveal h3 { text-transform: none; }
  .reveal table { font-size: 0.8em; }
</style>
{%- endblock -%}
{%- block data_png scoped -%}
<img src="data:image/png;base64,{{ output.data["image/png"] | escape_html }}"
     alt="{{ output | get_metadata("alt", "image/png") | escape_html }}">
{%- endblock -%}
{%- block footer_js -%}
<script src="reveal/dist/reveal.js"></script>
<script>
  Reveal.initialize({width: 1280, height: 720, center: false, slideNumber: true, hash: true});
</script>
{%- endblock -%}
"""


def pieces(lesson: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells that are shown, each with its kind; a text with a heading in its midst is two."""
    found, begun = [], False
    for cell in lesson.cells:
        if cell.cell_type == "code":  # what is revealed waits for one more key
            found += [(cell, "fragment" if ".reveal(" in cell.source else "-")] * begun
        elif "answer" not in cell.metadata.get("tags", []):
            for text in re.split(r"\n(?=##+ )", cell.source):
                begun = begun or text.startswith("## ")
                text = re.sub(r"\]\((\d\d_\w+)\.ipynb\)", r"](\1.slides.html)", text)
                kind = "slide" if text.startswith("#") else "subslide"
                found.append((nbformat.v4.new_markdown_cell(text), kind))
    for cell, kind in found:
        cell.metadata["slideshow"] = {"slide_type": kind}
    return [cell for cell, _ in found]


def page(path: Path) -> str:
    """The slides of one lesson."""
    lesson = nbformat.read(path, as_version=4)
    lesson.cells = pieces(lesson)
    how = {"reveal_url_prefix": "reveal", "reveal_theme": "white"}  # some themes fetch their fonts
    exporter = SlidesExporter(raw_template=TEMPLATE, **how)
    return exporter.from_notebook_node(lesson, {"metadata": {"name": path.stem}})[0]


def main(folder: str = "slides") -> None:
    """Raises SystemExit with one sentence where a package is missing."""
    target = REPOSITORY / folder
    for name, package, inside in ASSETS:
        if (spec := find_spec(package)) is None:
            sys.exit('A package is missing: python -m pip install --editable ".[slides]"')
        source = Path(spec.submodule_search_locations[0]) / inside
        if source.is_dir():
            shutil.copytree(source, target / name, dirs_exist_ok=True)
        else:
            write_whole(target / name, source.read_bytes())
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        write_whole(target / f"{path.stem}.slides.html", page(path).encode())
    print(f"The slides are in {target}: open one of them in a browser.")


if __name__ == "__main__":
    main(*sys.argv[1:])
