"""One table in three forms: aligned text, HTML that says what is what, Markdown."""

import io
import os
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from xml.etree import ElementTree

import numpy as np
import pytest

from cnn_lessons.table import Table, printable, width

STEPS = Table(("step", "costs"), (("first", "1"), ("second", "23")), title="the 2 steps of b")
COSTS = Table(
    ("layer", "does", "costs"),
    (
        ("a", "one\nand two", "1,000"),
        ("b", "*much*", "24"),
        STEPS,
        ("next stage:",),
        ("all", "", "1,024"),
    ),
    foot=1,
    title="What it costs",
)


def parsed(table: Table) -> ElementTree.Element:
    """The HTML read by a parser that accepts no tag left open and no letter left unescaped."""
    return ElementTree.fromstring(table._repr_html_())


def test_as_text_words_stand_left_and_numbers_right():
    assert str(COSTS) == "\n".join(
        [
            "What it costs",
            "layer  does     costs",
            "─────────────────────",
            "a      one      1,000",
            "       and two",
            "b      *much*      24",
            "next stage:",
            "─────────────────────",
            "all             1,024",
        ]
    )
    assert repr(COSTS) == str(COSTS)


def test_as_html_it_says_what_each_cell_is_of():
    table = parsed(COSTS)
    assert table.findtext("caption") == "What it costs"
    assert [each.get("scope") for each in table.findall("thead/tr/th")] == ["col"] * 3
    first = table.find("tbody/tr")
    assert first[0].tag == "th" and first[0].get("scope") == "row" and first[0].text == "a"
    assert [each.tag for each in first[1:]] == ["td", "td"] and first[1].find(
        "br"
    ).tail == "and\xa0two"
    assert table.findtext("tbody/tr/td/strong") == "much"
    assert [row[0].get("colspan") for row in table.findall("tbody/tr")] == [None, None, "3", "3"]
    assert table.findtext("tbody/tr/td/details/summary") == "the 2 steps of b"
    assert len(table.findall("tbody/tr/td/details/table/tbody/tr")) == 2
    assert [each.text for each in table.findall("tfoot/tr/*")] == ["all", None, "1,024"]


def test_without_styles_the_html_still_sets_words_left_and_numbers_right():
    page = re.sub(' style="[^"]*"', "", COSTS._repr_html_())
    assert "style" not in page and "class=" not in page
    assert '<td align="right">1,000</td>' in page and '<th scope="col" align="right">costs' in page
    assert '<td align="left">one<br/>and&#160;two</td>' in page


def test_a_shape_stays_on_one_line_and_a_sentence_may_wrap():
    sentence = "a sentence that is long enough to fill two lines"
    page = Table(("shape", "note"), (("[N, 6, 28, 28]", sentence),))._repr_html_()
    assert "[N,&#160;6,&#160;28,&#160;28]" in page and sentence in page


def test_as_markdown():
    assert COSTS.markdown().splitlines() == [
        "What it costs",
        "",
        "| layer | does | costs |",
        "| --- | --- | ---: |",
        "| a | one<br/>and two | 1,000 |",
        "| b | <strong>much</strong> | 24 |",
        "| next stage: |",
        "| all |  | 1,024 |",
    ]
    assert "| a\\|b &lt;i&gt; |" in Table(("name",), (("a|b <i>",),)).markdown()


NAMES = [
    "<script>alert(1)</script>",
    "a & \"b\" 'c'",
    "卷积层",
    "שכבה",
    "long" * 200,
    "|",
    "[x](y)",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_leaves_the_table_well_formed(name):
    inside = Table((name, "n"), ((name, "1"),), title=name)
    table = Table((name, "n"), ((name, "1"), inside, (name,), (name, "2")), foot=1, title=name)
    found = "".join(parsed(table).itertext()).replace("\xa0", " ")
    assert found.count(name) == 8
    assert table.markdown().splitlines()[-1].replace("\\|", "").count("|") == 3


def test_chinese_letters_fill_two_columns():
    assert width("卷积 3×3") == 8 and width("") == 0
    lines = str(Table(("层", "n"), (("卷积层", "1"), ("pool", "20")))).splitlines()
    assert lines == ["层       n", "──────────", "卷积层   1", "pool    20"]
    assert {width(line) for line in lines} == {10}


@pytest.mark.parametrize(
    ("cells", "right"),
    [
        (["1", "-2.5", "−3", ".5", "", "?", "—", "nan", "3×3 /2", "84 %"], True),
        (["at least 1,234", "≥5", "not counted", "*7*"], True),
        (["1", "x"], False), (["[N, 3]"], False), (["*7*", "8"], True), (["nano"], False),
    ],
)  # fmt: skip
def test_a_column_of_numbers_is_set_to_the_right(cells, right):
    table = Table(("", "column"), tuple(("x", cell) for cell in cells))
    assert table.markdown().splitlines()[1] == ("| --- | ---: |" if right else "| --- | --- |")


def test_rows_of_named_values_make_a_table():
    rows = [
        {"network": "LeNet5", "ratio": 1.234, "images": np.int64(45_000), "ready": True},
        {"network": "VGG16", "ratio": 1e-7, "note": "slow", "ready": None},
    ]
    assert Table.of(rows, title="speeds") == Table(
        ("network", "ratio", "images", "ready", "note"),
        (("LeNet5", "1.23", "45,000", "True", ""), ("VGG16", "1e-07", "", "", "slow")),
        title="speeds",
    )
    assert [cell for (cell,) in Table.of([{"": 0.0}, {"": -1234.5}]).lines] == ["0.00", "-1,234.50"]


def test_a_table_of_nothing_is_one_in_every_form():
    table = Table.of([])
    assert str(table) == "nothing yet\n───────────"
    assert table.markdown().splitlines() == ["| nothing yet |", "| ---: |"]
    assert parsed(table).findtext("thead/tr/th") == "nothing\xa0yet"


def test_a_table_stays_as_it_is():
    with pytest.raises(FrozenInstanceError):
        COSTS.title = "other"
    assert replace(COSTS, title="other") != COSTS and hash(replace(COSTS)) == hash(COSTS)


def test_a_line_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"a line must have 1 or 3 cells; got \('a', 'b'\)"):
        Table(("1", "2", "3"), (("a", "b"),))


# --- consoles that are not UTF-8 ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "text", "shown"),
    [
        ("ascii", "✓ 3×3 → ½ …", "[ok] 3x3 -> ? ..."),
        ("cp1252", "✓ 3×3 → ½ …", "[ok] 3×3 -> ½ …"),
        ("gbk", "✓ 3×3 → 卷积 …", "[ok] 3×3 → 卷积 …"),
        ("utf-8", "✓ 3×3 → 卷积 …", "✓ 3×3 → 卷积 …"),
        ("utf-8", "half a letter: \ud83d", "half a letter: ?"),
        (None, "✓", "✓"),
    ],
)
def test_what_the_console_cannot_print_gives_way_to_plain_signs(encoding, text, shown, monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding=encoding) if encoding else None
    monkeypatch.setattr(sys, "stdout", console)
    assert printable(text) == shown


def test_columns_stay_aligned_with_plain_signs(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    table = Table(("a", "b"), (("…x", "1"), ("卷积", "20")), foot=1)
    assert str(table).splitlines() == ["a      b", "-" * 8, "...x   1", "-" * 8, "??    20"]


EVERYTHING = """
import sys
from cnn_lessons.checks.verdict import Verdict
from cnn_lessons.checks.challenge import scoreboard
from cnn_lessons.models import LeNet5, ResNetCIFAR
from cnn_lessons.see import tables
from cnn_lessons.shapes import record
from cnn_lessons.training.history import Epoch, History

lenet, resnet = record(LeNet5(), (3, 32, 32)), record(ResNetCIFAR(20), (3, 32, 32))
for encoding in sys.argv[1:]:
    sys.stdout.reconfigure(encoding=encoding)
    print(lenet, resnet.fold(), tables.compare({"LeNet-5": lenet, "卷积": resnet}), sep="\\n")
    print(Verdict(True, "3×3 → 9"), Verdict(False, "−1"), Verdict(None, "卷积"), sep="\\n")
    print(scoreboard([{"name": "卷积", "accuracy": 0.7, "parameters": 1, "macs": 2}]))
    print(History([Epoch(1, 2.0, 0.1, 2.0, 0.1, 1.0, 900.0)], "Stopped: 卷积 × 2"), end="\\0")
"""


def test_everything_prints_on_any_console():
    encodings = ["ascii", "cp1252", "gbk"]
    run = subprocess.run(
        [sys.executable, "-c", EVERYTHING, *encodings],
        env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True, check=True,
    )  # fmt: skip
    *printed, rest = run.stdout.split(b"\0")
    assert len(printed) == len(encodings) and not rest
    for encoding, text in zip(encodings, map(bytes.decode, printed, encodings)):
        assert "[ok] Right. 3" in text and "62,006" in text and "Stopped: " in text
        assert ("卷积" in text) == (encoding == "gbk") and ("3x3" in text) == (encoding == "ascii")
