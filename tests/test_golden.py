"""The layer table of each network, stored as text, so that a change shows as a diff.

To write the tables anew: pytest tests/test_golden.py --regenerate-golden
"""

from pathlib import Path

import pytest

from cnn_lessons.shapes import Row, record

from .networks import CASES, build_on_meta

GOLDEN = Path(__file__).parent / "golden"


def layer_table(name: str) -> str:
    """One line a step, with its name in full and, in brackets, the steps that it reads."""
    model = build_on_meta(name)
    if name == "googlenet":
        # Its forward leaves out the auxiliary heads, which belong into the table too.
        model.forward = model.forward_with_aux
    steps = record(model, CASES[name].size)
    total = f"total: {steps.parameters:,} parameters, {steps.macs:,} MACs"
    return "\n".join([*(line(k, row) for k, row in enumerate(steps)), total, ""])


def line(number: int, row: Row) -> str:
    window = ""
    if row.window:
        (kernel, _), (stride, _), (padding, _), _ = row.window
        window = f" k{kernel} s{stride} p{padding}"
    sees = row.receptive_field[0] if row.receptive_field else "?"
    live = "" if row.live == 1 else f", {row.live:.0%} live"
    return (
        f"{number} {row.name}: {row.kind}{window} reads {list(row.sources)} -> "
        f"{list(row.output[1:])}, {row.parameters:,} parameters, {row.macs:,} MACs, "
        f"sees {sees}{live}"
    )


@pytest.mark.parametrize("name", CASES)
def test_layer_table_is_the_stored_one(name, request):
    path = GOLDEN / f"{name}.txt"
    if request.config.getoption("--regenerate-golden"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(layer_table(name), encoding="utf-8")
    assert path.exists(), f"there is no {path.name}: run pytest with --regenerate-golden"
    assert layer_table(name) == path.read_text(encoding="utf-8")


def test_no_table_is_left_over():
    assert {path.stem for path in GOLDEN.glob("*")} == set(CASES)
