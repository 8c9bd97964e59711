"""The stored comparisons of the lessons: run once, read back, and said in the prose as they are."""

import json

import pytest

from benchmarks.experiments import __main__ as experiments
from cnn_lessons import networks

KNOWN = experiments.all_of_them()
STORED = sorted(networks.RESULTS.glob("experiment_*.json"))


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_comparison_runs_and_measures_the_same_of_each_variant(name, tmp_path):
    options = [name, "--quick", "--seeds", "0", "--folder", str(tmp_path)]
    rows = experiments.main(options)
    assert [row["variant"] for row in rows] == list(KNOWN[name])
    assert len({tuple(row) for row in rows}) == 1
    assert experiments.main(options) == rows, "what is there is not run again"
    for measure in set(rows[0]) - {"variant", "seed", "seconds"}:
        assert list(networks.experiment(name, measure, tmp_path)) == list(KNOWN[name])


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_a_stored_comparison_is_one_that_can_be_run_again(path):
    record = json.loads(path.read_text(encoding="utf-8"))
    assert path.stem == f"experiment_{record['experiment']}"
    variants = KNOWN[record["experiment"]]
    assert {row["variant"] for row in record["rows"]} == set(variants)
    for variant in variants:
        seeds = [row["seed"] for row in record["rows"] if row["variant"] == variant]
        assert len(seeds) == len(set(seeds)) >= 5
    assert {"data", "machine", "versions"} <= set(record)


def test_only_seeds_of_all_variants_are_compared(tmp_path):
    rows = [
        {"variant": "a", "seed": 2, "loss": 0.2},
        {"variant": "a", "seed": 1, "loss": 0.1},
        {"variant": "b", "seed": 1, "loss": 1.1},
        {"variant": "b", "seed": 2, "loss": 1.2},
        {"variant": "b", "seed": 3, "loss": 1.3},
    ]
    (tmp_path / "experiment_made.json").write_text(json.dumps({"rows": rows}))
    found = networks.experiment("made", "loss", tmp_path)
    assert found == {"a": [0.1, 0.2], "b": [1.1, 1.2]}
    with pytest.raises(ValueError, match="name must be one of made; got 'other'"):
        networks.experiment("other", "loss", tmp_path)
    with pytest.raises(ValueError, match="measure must be one of variant, seed, loss; got 'mean'"):
        networks.experiment("made", "mean", tmp_path)
