"""Every benchmark runs, in seconds and on generated pictures; no test says how fast anything is."""

import importlib
import json

import pytest

from benchmarks import common, results, tables
from cnn_lessons import networks

LENET = ["--quick", "--networks", "lenet5"]


@pytest.mark.parametrize(
    ("name", "options", "columns"),
    [
        ("training_loop", LENET, ["network", "usual", "float32", "bfloat16"]),
        ("compute_limit", LENET, ["network", "precision", "fit", "limit", "fit / limit"]),
        ("pipeline", ["--quick"], ["augment", "batch size", "images/s"]),
        ("memory", LENET, ["network", "images", "batch size", "MB beyond torch"]),
        (
            "tried",
            ["--quick", "--networks", "resnetcifar20", "--seeds", "0"],
            ["network", "change"],
        ),
        ("starts", ["--quick", "--networks", "googlenetcifar", "--seeds", "0"], ["network"]),
    ],
)
def test_a_benchmark_prints_and_writes_a_table(name, options, columns, capsys, tmp_path):
    module = importlib.import_module(f"benchmarks.{name}")
    rows = module.main([*options, "--folder", str(tmp_path)])
    assert list(rows[0])[: len(columns)] == columns
    assert capsys.readouterr().out.startswith("| " + columns[0])
    [file] = tmp_path.glob(f"{name}*.json")  # some write one a network
    record = json.loads(file.read_text())
    assert record["rows"] == rows and {"machine", "versions"} <= set(record)


def test_time_to_accuracy_measures_both_loops():
    module = importlib.import_module("benchmarks.time_to_accuracy")
    rows = module.main(LENET)
    assert [row["loop"] for row in rows] == ["fit", "usual"]


def test_results_are_written_with_all_that_a_number_needs(tmp_path):
    weights, runs = tmp_path / "weights", tmp_path / "runs"
    folders = ["--folder", str(tmp_path), "--weights", str(weights), "--checkpoints", str(runs)]
    results.main([*LENET, *folders, "--save", "--seeds", "0", "1", "--epochs", "2"])
    record = json.loads((tmp_path / "LeNet5.json").read_text())
    for key in ("seconds", "machine", "versions", "recipe", "precision"):
        assert record[key] not in (None, ""), key
    assert record["seeds"] == [0, 1] and record["images"] == 256
    assert record["epochs"] == record["recipe"]["epochs"] == 2
    assert record["lowest"] <= record["accuracy"] <= record["highest"]
    assert record["data"].startswith("generated pictures")
    card = networks.card("LeNet5", weights)
    assert card["seed"] == 0 and card["accuracy"] == pytest.approx(
        record["accuracies"][0], abs=0.01
    )
    assert not networks.load_trained("LeNet5", weights).training
    assert sorted(path.name for path in runs.iterdir()) == [
        "LeNet5-0.safetensors",
        "LeNet5-1.safetensors",
    ]


def test_medians_are_taken_in_turn_after_a_first_run_of_each():
    calls = []

    def variant(name, values):
        left = iter(values)
        return lambda: calls.append(name) or next(left)

    found = common.in_turn({"a": variant("a", [9, 1, 3, 2]), "b": variant("b", [9, 5, 5, 6])}, 3)
    assert found == {"a": 2, "b": 5} and "".join(calls) == "abababab"


def test_a_table_is_markdown():
    text = common.table([{"network": "LeNet5", "ratio": 1.234}])
    assert text.splitlines() == ["| network | ratio |", "| --- | --- |", "| LeNet5 | 1.23 |"]


def test_the_readme_shows_the_results_that_are_stored():
    text = tables.README.read_text(encoding="utf-8")
    assert tables.filled(text) == text, "run `python -m benchmarks.tables`"
    for network in networks.results():
        assert f"| {network} |" in text


def test_the_readme_is_filled_between_its_comments_only(monkeypatch):
    monkeypatch.setattr(tables, "TABLES", {"results": lambda: "| new |"})
    text = "before\n<!-- results -->\n| old |\n<!-- end of results -->\nafter\n"
    assert tables.filled(text) == text.replace("old", "new")
