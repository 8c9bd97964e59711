"""Every benchmark runs, in seconds and on generated pictures; no test says how fast anything is."""

import contextlib
import importlib
import json
import signal
import time
from dataclasses import asdict, replace
from functools import partial
from itertools import pairwise
from statistics import mean

import nbformat
import pytest
import torch
from nbclient.exceptions import CellExecutionError
from torch import nn

from benchmarks import challenge, common, lessons, muon, on_a_card, race, results, tables, tried
from cnn_lessons import data, networks, training
from cnn_lessons.shapes import on_meta

SIZES = ("", "_512")
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
        ("challenge", ["--quick", "--seeds", "0"], ["name", "accuracy"]),
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


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="Windows has no such clock")
def test_what_is_for_a_gpu_runs_on_a_cpu_within_its_time(tmp_path, monkeypatch):
    """Each result in a folder of its own; what fails or takes too long hinders nothing after it."""
    known = ["tests", *(f"{what}-LeNet5" for what in ("limit-128", "limit-512", "loop-128"))]
    known += ["recipe-LeNet5", "race", "loop-512-LeNet5"]
    options = [*LENET, "--device", "cpu", "--folder", str(tmp_path)]
    monkeypatch.setattr(on_a_card, "tests", lambda quick: None)
    rows = on_a_card.main(options)
    assert [(row["what"], row["ended"]) for row in rows] == [(name, "done") for name in known]
    assert json.loads((tmp_path / "summary.json").read_text())["rows"] == rows
    assert (tmp_path / "recipe-LeNet5" / "LeNet5_test.json").exists()
    stored = sorted(path.name for path in (tmp_path / "stored").iterdir())
    sizes = [f"{name}{size}.json" for name in ("compute_limit", "training_loop") for size in SIZES]
    assert stored == sorted(["LeNet5_test.json", "race.json", *sizes])

    def never_ends(quick):
        while True:  # and takes every error for its own, as a capture does
            with contextlib.suppress(Exception):
                time.sleep(0.01)

    monkeypatch.setattr(on_a_card, "tests", never_ends)
    ends = [row["ended"] for row in on_a_card.main([*options, "--minutes", "0.02"])]
    assert ends == ["stopped, the time is over"] + 6 * ["not begun, the time is over"]
    assert on_a_card.ended(lambda: 1 / 0, 9) == "failed: ZeroDivisionError('division by zero')"


def test_what_was_tried_in_the_gpu_profile_has_its_own_epochs_and_file(monkeypatch, tmp_path):
    recipes = []

    def one(dataset, name, change, recipe, seed):
        recipes.append(recipe)
        return 0.5 + seed / 10, 1.0

    monkeypatch.setattr(tried, "one", one)
    monkeypatch.setattr(common, "pictures", lambda quick: None)
    change = "batch 512, rate x2, clip 1"
    for profile in ("cpu", "gpu"):
        options = ["--profile", profile, "--changes", change, "--seeds", "0", "1"]
        tried.main(["--networks", "LeNet5", *options, "--folder", str(tmp_path)])
    assert [(each.epochs, each.batch_size, each.clip) for each in recipes] == [
        (8, 512, 1.0), (8, 512, 1.0), (30, 512, 1.0), (30, 512, 1.0),
    ]  # fmt: skip
    assert {each.learning_rate for each in recipes} == {0.1}
    for file in ("tried_LeNet5", "tried_LeNet5_gpu"):
        record = json.loads((tmp_path / f"{file}.json").read_text())
        assert record["by_seed"] == [{"change": change, "accuracies": [0.5, 0.6]}]


def test_what_was_measured_network_by_network_is_gathered_in_one_file(tmp_path):
    for folder, file, rows in (
        ("limit-128-LeNet5", "compute_limit_cuda", [1, 2]),
        ("limit-128-VGG16", "compute_limit_cuda", [3]),
        ("limit-512-VGG16", "compute_limit_512_cuda", [4]),
    ):
        common.write_json(tmp_path / folder / f"{file}.json", {"rows": rows, "machine": "a card"})
    result = {"network": "VGG16", "accuracy": 0.5}
    common.write_json(tmp_path / "recipe-VGG16" / "VGG16_gpu_cuda.json", result)
    for _ in range(2):  # it does so after each call
        on_a_card.gather(tmp_path)
    found = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("stored/*")}
    assert found.pop("VGG16_gpu_cuda") == result
    assert {name: record["rows"] for name, record in found.items()} == {
        "compute_limit_cuda": [1, 2, 3],
        "compute_limit_512_cuda": [4],
    }


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_on_cuda_there_are_three_columns_and_three_precisions(tmp_path):
    options = [*LENET, "--device", "cuda", "--folder", str(tmp_path)]
    rows = importlib.import_module("benchmarks.compute_limit").main(options)
    assert "fit / graph" in rows[0] and (tmp_path / "compute_limit_cuda.json").exists()
    importlib.import_module("benchmarks.training_loop").main(options)
    assert (tmp_path / "training_loop_cuda.json").exists()


def test_what_is_missing_is_run_and_written_at_once(tmp_path):
    path, ran = tmp_path / "sweep.json", []

    def run(name, seed):
        ran.append((name, seed))
        if name == "b":
            raise KeyboardInterrupt
        return {"loss": 0.5, "curve": [1, 2]}

    def sweep(names):
        runs = {(name, 0): partial(run, name, 0) for name in names}
        return common.run_missing(path, {"benchmark": "made"}, runs, machine="one")

    with pytest.raises(KeyboardInterrupt):
        sweep("abc")
    row = {"variant": "a", "seed": 0, "loss": 0.5, "curve": [1, 2]}
    expected = {"benchmark": "made", "rows": [row], "machine": "one"}
    assert json.loads(path.read_text()) == expected and list(expected) == list(
        json.loads(path.read_text())
    )
    assert [each["variant"] for each in sweep("ac")] == ["a", "c"]
    assert ran == [("a", 0), ("b", 0), ("c", 0)]


def test_taps_are_held_and_muon_takes_a_rate_that_is_a_tensor():
    live = torch.tensor([[True, False], [True, True]])
    weights = []
    for rate in (torch.tensor(0.1), 0.1):
        weights.append(nn.Parameter(torch.ones(2, 1, 2, 2)))
        common.hold_taps(weights[-1], live)
        assert torch.equal(weights[-1] != 0, live.expand(2, 1, 2, 2))
        optimizer = muon.Muon(weights[-1:], lr=rate, weight_decay=0.1)
        (weights[-1] * torch.arange(1.0, 9.0).view(2, 1, 2, 2)).sum().backward()
        assert torch.equal(weights[-1].grad != 0, live.expand(2, 1, 2, 2))
        optimizer.step()
    torch.testing.assert_close(*weights)
    assert all(group["capturable"] for group in optimizer.param_groups)


def test_the_sweep_of_depths_is_read_back_and_runs_nothing_twice(tmp_path):
    module = importlib.import_module("benchmarks.depth")
    options = ["--quick", "--depths", "8", "--seeds", "0", "--folder", str(tmp_path)]
    rows = module.main(options)
    assert module.main(options) == rows
    curves = networks.depth_sweep("train_accuracy", folder=tmp_path)
    assert list(curves) == ["plain 8", "residual 8"]
    assert len(curves["plain 8"][0]) == rows[0]["epochs"]


def test_time_to_accuracy_measures_both_loops():
    module = importlib.import_module("benchmarks.time_to_accuracy")
    rows = module.main(LENET)
    assert [row["loop"] for row in rows] == ["fit", "usual"]


def test_the_race_has_a_row_a_change_and_goes_on_where_it_was(tmp_path, monkeypatch):
    """Each row is timed, and each that alters what is learned is trained, once."""
    options = ["--quick", "--device", "cpu", "--folder", str(tmp_path)]
    table = race.main(options)
    assert [row["change"] for row in table] == list(race.CHANGES)
    path = networks.race_file(tmp_path)
    record = json.loads(path.read_text(encoding="utf-8"))
    assert [row["variant"] for row in record["rows"]] == [
        change for change in race.CHANGES if change not in race.ALTER_NOTHING
    ]
    timed = {change: speed is not None for change, speed in record["images/s"].items()}
    assert timed == {change: change != "captured step" for change in race.CHANGES}
    monkeypatch.setattr(race, "learned", lambda *given: {"accuracies": [1.0]})
    monkeypatch.setattr(race, "passing", None)
    path.write_text(json.dumps(record | {"rows": record["rows"][:-1]}), encoding="utf-8")
    assert race.main(options)[:-1] == table[:-1]
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert rows == [*record["rows"][:-1], {"variant": "Muon", "seed": 0, "accuracies": [1.0]}]


def test_each_row_of_the_race_adds_one_change():
    rows = list(race.ways(torch.device("cpu")).values())
    for before, after in pairwise(rows):
        changed = asdict(after).items() - asdict(before).items()
        assert len(changed) == 1
    assert rows[0] == race.Way() and rows[-1].muon and rows[-1].batch_size == 512


def test_a_table_of_the_race_is_made_of_speeds_and_curves(tmp_path):
    """Seconds are the pictures until the mark by the speed; a row that alters nothing learns as
    the one before, and its factor is to the last row that was timed."""
    speeds = {"first": 100, "same": 200, "captured": None, "other": 400, "late": 400}
    record = {"marks": [0.5, 0.6], "images": 1_000, "images/s": speeds}
    record["alter nothing"] = ["same", "captured"]
    curves = {"first": [[0.4, 0.5, 0.7], [0.4, 0.4, 0.4, 0.5, 0.6]], "other": [[0.5, 0.55]]}
    record["rows"] = [
        {"variant": change, "seed": seed, "accuracies": curve}
        for change, found in curves.items()
        for seed, curve in enumerate(found)
    ]
    networks.race_file(tmp_path).write_text(json.dumps(record), encoding="utf-8")
    first, same, captured, other, late = networks.race(tmp_path)
    assert first == {
        "change": "first", "images/s": 100, "times": "", "epochs": 2.0,
        "s to 50%": 15.0, "s to 60%": 20.0,
    }  # fmt: skip
    assert (same["times"], same["epochs"], same["s to 50%"], same["s to 60%"]) == (2, 2, 7.5, 10)
    unknown = {key: value for key, value in captured.items() if value == "not measured"}
    assert list(unknown) == ["images/s", "times", "s to 50%", "s to 60%"]
    assert (other["times"], other["s to 50%"], other["s to 60%"]) == (2, 1.2, "not reached")
    assert late["times"] == 1 and late["epochs"] == late["s to 50%"] == "not measured"
    assert networks.race(tmp_path, "cuda") == []


def test_the_stored_race_is_that_of_the_benchmark():
    record = json.loads(networks.race_file().read_text(encoding="utf-8"))
    assert list(record["images/s"]) == list(race.CHANGES)
    assert tuple(record["alter nothing"]) == race.ALTER_NOTHING
    assert [record["network"], record["marks"]] == list(race.ON_A_CPU[:2])
    trained = [change for change in race.CHANGES if change not in race.ALTER_NOTHING]
    assert {row["variant"] for row in record["rows"]} == set(trained)


def test_the_stored_scoreboard_is_that_of_the_challenge():
    record = json.loads((networks.RESULTS / "challenge_06.json").read_text())
    assert training.Recipe(**record["recipe"]) == training.CHALLENGE
    rows = {row["name"]: row for row in record["rows"]}
    assert list(rows) == list(challenge.ENTRIES)
    for name, (build, changes) in challenge.ENTRIES.items():
        table = on_meta(build, (3, 32, 32))
        assert (table.parameters, table.macs) == (rows[name]["parameters"], rows[name]["macs"])
        rate = replace(training.CHALLENGE, **changes).learning_rate
        assert rows[name]["learning_rate"] == rate
        assert len(rows[name]["accuracies"]) == len(record["seeds"])
        assert rows[name]["accuracy"] == pytest.approx(mean(rows[name]["accuracies"]), abs=5e-5)


@pytest.mark.parametrize("shape", [(16, 3, 3, 3), (8, 100), (100, 8), (10, 64)])
def test_muon_makes_the_step_of_a_kernel_orthogonal_and_leaves_a_vector_to_sgd(shape):
    kernel, vector = (nn.Parameter(torch.zeros(size)) for size in (shape, (5,)))
    generator = torch.Generator().manual_seed(0)
    kernel.grad = 1e3 * torch.randn(shape, generator=generator)
    vector.grad = torch.arange(5.0)
    plain = nn.Parameter(torch.zeros(5))
    plain.grad = vector.grad.clone()
    ours = muon.Muon([kernel, vector], lr=0.1, momentum=0.9)
    sgd = torch.optim.SGD([plain], lr=0.1, momentum=0.9, nesterov=True)
    ours.step()
    sizes = torch.linalg.svdvals(-10 * kernel.detach().flatten(1))
    tall = max(1, shape[0] / (kernel.numel() / shape[0])) ** 0.5
    assert sizes.min() / tall > 0.65 and sizes.max() / tall < 1.25
    left, _, right = torch.linalg.svd(kernel.grad.flatten(1), full_matrices=False)
    nearest = (left @ right).flatten()
    assert torch.cosine_similarity(-kernel.detach().flatten(), nearest, dim=0) > 0.97
    ours.step()
    for _ in range(2):
        sgd.step()
    torch.testing.assert_close(vector, plain)


def test_muon_shrinks_the_weights_by_their_decay():
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.zeros(3)
    muon.Muon([weight], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(weight.detach(), torch.full((3,), 0.95))


def test_fit_learns_with_muon():
    torch.manual_seed(0)
    batch = data.generate(train=40, test=10).batches("train", 16, images=32)
    recipe = training.Recipe(epochs=20, learning_rate=0.02)
    how = {"progress": False, "optimizer": muon.muon}
    history = training.fit(networks.build("LeNet5"), batch, batch, recipe, **how)
    assert history.epochs[-1].train_loss < 0.5  # 0.13, with one thread and two


def test_the_cosine_rises_to_its_peak_and_falls_to_0():
    recipe = tried.Cosine(epochs=1, learning_rate=2.0, warmup=0.5)
    rates = [recipe.rate(progress) for progress in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert rates == pytest.approx([0.0, 1.0, 2.0, 1.0, 0.0])
    recipe = replace(recipe, warmup=0.0)
    assert recipe.rate(0.0) == 2.0 and recipe.rate(1 / 3) == pytest.approx(1.5)


def test_the_smoothed_loss_is_that_of_the_definition():
    torch.manual_seed(0)
    model, images, labels = nn.Flatten(), torch.randn(6, 10), torch.arange(6)
    loss, logits = tried.smoothed(model, images, labels)
    aims = nn.functional.one_hot(labels, 10) * 0.9 + 0.1 / 10
    torch.testing.assert_close(loss, -(aims * images.log_softmax(dim=1)).sum(dim=1).mean())
    assert torch.equal(logits, images)


def test_which_networks_take_smaller_pictures():
    assert tried.takes("ResNetCIFAR20", 24) and not tried.takes("LeNet5", 24)


def test_results_are_written_with_all_that_a_number_needs(tmp_path):
    weights, runs = tmp_path / "weights", tmp_path / "runs"
    folders = ["--folder", str(tmp_path), "--weights", str(weights), "--checkpoints", str(runs)]
    results.main([*LENET, *folders, "--save", "--seeds", "0", "1", "--epochs", "2"])
    record = json.loads((tmp_path / "LeNet5_test.json").read_text())
    assert record["profile"] == "test"
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
        "LeNet5_test-0.safetensors",
        "LeNet5_test-1.safetensors",
    ]


def test_a_result_is_the_mean_over_its_seeds(tmp_path, monkeypatch):
    runs = iter([(0.5, 10, 20), (0.8, 20, 50), (0.8, 30, 20)])

    def one(*_):
        accuracy, seconds, processor_seconds = next(runs)
        history = training.History([training.Epoch(1, 0, 0, 0, 0, seconds, 0)])
        result = training.Result(0, accuracy, 200)
        return networks.build("LeNet5"), history, processor_seconds, result

    def evaluate(model, batches):
        assert all(torch.equal(each, each.half().float()) for each in model.parameters())
        return training.Result(0, 0.4, 200)

    monkeypatch.setattr(results, "one", one)
    monkeypatch.setattr(training, "evaluate", evaluate)
    folders = ["--folder", str(tmp_path), "--weights", str(tmp_path / "weights")]
    results.main([*LENET, *folders, "--save", "--seeds", "0", "1", "2"])
    card = networks.card("LeNet5", tmp_path / "weights")
    assert card["accuracy"] == 0.4, "measured of the weights as they are written"
    record = json.loads((tmp_path / "LeNet5_test.json").read_text())
    wanted = {"accuracy": 0.7, "lowest": 0.5, "highest": 0.8, "accuracies": [0.5, 0.8, 0.8]}
    assert record.items() >= (wanted | {"seconds": 20, "processor_seconds": 30}).items()


def test_no_result_is_written_over_that_of_another_profile_or_device(monkeypatch, tmp_path, capsys):
    """The names of all are different, and only `cpu` on a CPU has those that lesson 06 reads."""
    devices = [torch.device(kind) for kind in ("cpu", "cuda", "mps")]
    names = [
        results.file_name("LeNet5", profile, device)
        for profile in training.PROFILES
        for device in devices
    ]
    assert len({*names}) == 9 and names.count("LeNet5") == 1
    assert results.file_name("LeNet5", "cpu", devices[0]) == "LeNet5"
    for name in names:
        (tmp_path / f"{name}.json").write_text(json.dumps({"who": name}))
    assert networks.results(tmp_path) == {"LeNet5": {"who": "LeNet5"}}
    assert networks.results(tmp_path, gpu=True) == {"LeNet5": {"who": "LeNet5_gpu_cuda"}}

    monkeypatch.setattr(results, "one", lambda *_: pytest.fail("nothing is trained"))
    for options in (["--profile", "gpu"], ["--device", "cuda"], ["--quick"]):
        with pytest.raises(SystemExit):
            results.main(["--networks", "LeNet5", *options, "--save"])
        assert "--save needs --weights FOLDER" in capsys.readouterr().err


def test_medians_are_taken_in_turn_after_a_first_run_of_each():
    calls = []

    def variant(name, values):
        left = iter(values)
        return lambda: calls.append(name) or next(left)

    found = common.in_turn({"a": variant("a", [9, 1, 3, 2]), "b": variant("b", [9, 5, 5, 6])}, 3)
    assert found == {"a": 2, "b": 5} and "".join(calls) == "abababab"


def test_their_page_shows_the_results_that_are_stored():
    for page in (tables.FIRST_README, tables.README):
        text = page.read_text(encoding="utf-8")
        assert tables.filled(text) == text, "run `python -m benchmarks.tables`"
    for network in networks.results():
        assert f"| {network} |" in text


def test_their_page_is_filled_between_its_comments_only(monkeypatch):
    monkeypatch.setattr(tables, "TABLES", {"results": lambda: [{"new": "a"}]})
    text = "before\n<!-- results -->\nold\n<!-- end of results -->\nafter\n"
    assert tables.filled(text) == text.replace("old", "| new |\n| --- |\n| a |")


GPU_LOOP = {"usual": 9_500, "usual, 16 workers": 24_000, "float32": 300_000, "tf32": 310_000}
GPU_LOOP |= {"bfloat16": 390_000, "float32 / usual": 31.6, "bfloat16 / usual": 41.05}


def plant(folder, name, *rows):
    (folder / f"{name}.json").write_text(json.dumps({"rows": rows}))


@pytest.fixture
def stored(monkeypatch, tmp_path):
    """A folder in the place of benchmarks/results, empty as yet."""
    monkeypatch.setattr(networks, "RESULTS", tmp_path)
    read = networks.results
    monkeypatch.setattr(networks, "results", lambda gpu=False: read(tmp_path, gpu=gpu))
    return tmp_path


def test_the_minutes_of_the_lessons_on_a_gpu_are_told_once_they_are_measured(stored):
    page = "<!-- minutes -->\nold\n<!-- end of minutes -->"
    assert "\nOn a GPU they have not been measured yet.\n" in tables.filled(page)
    rows = [{"lesson": "01_lenet5", "seconds": 61.0}, {"lesson": "00_start_here", "seconds": 60.0}]
    plant(stored, "lessons_cuda", *rows)
    assert "\nOn a GPU, in its profile: 00 1, 01 2.\n" in tables.filled(page)


def test_a_lesson_is_timed_and_its_long_cells_are_named(monkeypatch, tmp_path):
    cells = [("pause", "import time\ntime.sleep(0.3)"), ("short", "1 + 1"), ("empty", "")]
    notebook = nbformat.v4.new_notebook()
    for name, source in cells:
        notebook.cells.append(nbformat.v4.new_code_cell(source, id=name))
    nbformat.write(notebook, path := tmp_path / "09_made.ipynb")
    monkeypatch.setattr(lessons, "LONG", 0.29)
    [row] = lessons.main(["--lessons", str(path), "--folder", str(tmp_path)])
    assert row["lesson"] == "09_made" and row["seconds"] > 0.29 and "pause " in row["long cells"]
    assert json.loads((tmp_path / "lessons.json").read_text())["rows"] == [row]
    with pytest.raises(CellExecutionError):  # a lesson that fails has no time
        notebook.cells[0].source = "1 / 0"
        nbformat.write(notebook, path)
        lessons.one(path)


def test_what_a_gpu_did_stands_in_columns_of_its_own(stored):
    """Until it is measured, they say so; what only a GPU did has its row as well."""
    assert tables.accuracies() == tables.speeds() == []
    about = {"seeds": [0], "lowest": 0.7, "highest": 0.7, "seconds": 62, "processor_seconds": 91}
    for name, file, accuracy, epochs in (
        ("LeNet5", "LeNet5", 0.689, 16),
        ("LeNet5", "LeNet5_gpu_cuda", 0.715, 30),
        ("VGG16", "VGG16", 0.862, 9),
        ("ResNetCIFAR20", "ResNetCIFAR20_gpu_cuda", 0.881, 60),
    ):
        record = {"network": name, "accuracy": accuracy, "epochs": epochs, "precision": "tf32"}
        (stored / f"{file}.json").write_text(json.dumps(record | about))
    found = {row["network"]: list(row.values())[4:] for row in tables.accuracies()}
    no = tables.NOT_MEASURED
    assert found == {
        "LeNet5": ["68.9%", "16", "tf32", "2", "71.5%", "62 s, 30 epochs, tf32"],
        "VGG16": ["86.2%", "9 of the recipe's 10", "tf32", "2", no, no],
        "ResNetCIFAR20": [no, no, no, no, "88.1%", "62 s, 60 epochs, tf32"],
    }

    ratios = {"float32 / usual": 3.5, "bfloat16 / usual": 4.0}
    loop = {"usual": 3_862, "float32": 13_523, "bfloat16": 15_382} | ratios
    plant(stored, "training_loop", {"network": "LeNet5"} | loop, {"network": "VGG16"} | loop)
    limit = {"network": "LeNet5", "precision": "float32", "fit / limit": 0.9}
    plant(stored, "compute_limit", limit)
    on_gpu = {"network": "LeNet5", "precision": "bfloat16", "fit / limit": 6.1, "fit / graph": 0.93}
    plant(stored, "compute_limit_cuda", on_gpu, on_gpu | {"precision": "tf32", "fit / graph": 0.5})
    plant(
        stored,
        "training_loop_cuda",
        *({"network": n} | GPU_LOOP for n in ("AlexNetCIFAR", "LeNet5")),
    )
    found = {row["network"]: list(row.values())[1:] for row in tables.speeds()}
    cpu = ["3,862 images/s", "3.5 times (0.90 of the limit)", "4.0 times"]
    usual = "9,500 images/s, 24,000 with 16 workers"
    assert found == {
        "LeNet5": [*cpu, usual, "bfloat16: 41.0 times (0.93 of the graph)"],
        "AlexNetCIFAR": [no, no, no, usual, "bfloat16: 41.0 times"],
        "VGG16": [cpu[0], "3.5 times", cpu[2], no, no],
    }
