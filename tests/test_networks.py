"""The trained weights: only the right file for the right network is taken."""

import hashlib
import json
import os
import socket
import sys
from dataclasses import replace
from functools import partial
from urllib.error import URLError

import pytest
import torch
import torchvision

from cnn_lessons import data, networks, training
from cnn_lessons.models import starts
from cnn_lessons.training import checkpoint
from cnn_lessons.training.checkpoint import CheckpointError
from cnn_lessons.training.recipes import CHOICES

DETAILS = {"data": "shapes", "accuracy": 0.5}


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    return networks.save_trained(networks.build("LeNet5"), "LeNet5", DETAILS, tmp_path).eval()


def test_every_network_has_its_recipes_its_paper_and_its_input():
    assert list(networks.NETWORKS) == list(training.RECIPES)
    for name, network in networks.NETWORKS.items():
        with torch.device("meta"):
            assert networks.build(name.upper())(torch.empty(2, 3, 32, 32)).shape == (2, 10)
        assert 1990 < network.year < 2100 and network.paper


def test_a_recipe_may_ask_for_every_start_and_has_the_same_in_all_profiles():
    assert CHOICES["start"] == tuple(starts.STARTS)
    for name, recipes in training.RECIPES.items():
        assert len({recipe.start for recipe in recipes.values()}) == 1, name


def test_a_network_is_built_with_the_start_of_its_recipe_or_another():
    def weights(start=None):
        torch.manual_seed(0)
        return networks.build("AlexNetCIFAR", start).classifier.fc6.weight

    own, he = weights("own").std().item(), (2 / (128 * 4 * 4)) ** 0.5
    assert training.RECIPES["AlexNetCIFAR"]["cpu"].start == "he"
    assert torch.equal(weights(), weights("he")) and not torch.equal(weights(), weights("own"))
    assert weights().std().item() == pytest.approx(he, rel=0.01)
    assert own == pytest.approx((1 / 3 / (128 * 4 * 4)) ** 0.5, rel=0.01)
    with pytest.raises(ValueError, match=r"start must be one of own, .*; got 'zeros'"):
        networks.build("LeNet5", "zeros")


@pytest.mark.parametrize("name", ["VGG16Plain", "GoogLeNetCIFAR"])
@pytest.mark.parametrize("seed", range(5))
def test_logits_depend_on_the_picture_with_our_start_and_not_with_pytorchs(name, seed):
    def spread(build):
        torch.manual_seed(seed)
        with torch.inference_mode():
            return float(build().eval()(torch.randn(4, 3, 32, 32)).std(dim=0).mean())

    assert spread(partial(networks.build, name)) > 0.04
    assert spread(partial(networks.build, name, "own")) < 1e-3


def test_googlenet_learns_a_few_pictures_by_heart_with_its_recipe():
    torch.manual_seed(0)
    batch = data.generate(train=40, test=10).batches("train", 16, images=16)
    recipe = replace(training.RECIPES["GoogLeNetCIFAR"]["test"], epochs=25, warmup=0.5)
    history = training.fit(networks.build("GoogLeNetCIFAR"), batch, batch, recipe, progress=False)
    # Measured on four kinds of processor: 0.19 to 0.23, from 3.16 in the first epoch.
    assert history.epochs[-1].train_loss < 1.0


def test_what_was_saved_is_loaded_in_half_the_memory(saved, tmp_path):
    model = networks.load_trained("lenet5", tmp_path)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(model(images), saved(images)) and not model.training
    bytes_of_weights = 2 * sum(p.numel() for p in model.parameters())
    assert (tmp_path / "LeNet5.safetensors").stat().st_size < bytes_of_weights + 2_000
    assert networks.card("LeNet5", tmp_path)["accuracy"] == 0.5


def test_batch_norm_counters_are_kept(tmp_path):
    model = networks.build("ResNetCIFAR20")
    model(torch.randn(4, 3, 32, 32))
    networks.save_trained(model, "ResNetCIFAR20", DETAILS, tmp_path)
    assert int(networks.load_trained("ResNetCIFAR20", tmp_path).bn1.num_batches_tracked) == 1


def test_another_file_than_the_one_of_the_card_is_refused(saved, tmp_path):
    path = tmp_path / "LeNet5.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match="not the file of its card"):
        networks.load_trained("LeNet5", tmp_path)
    path.unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        networks.load_trained("LeNet5", tmp_path)


def test_weights_of_other_shapes_are_refused(tmp_path):
    name = next(iter(networks.build("LeNet5").state_dict()))
    wrong = networks.build("LeNet5").state_dict() | {name: torch.zeros(1)}
    path = tmp_path / "LeNet5.safetensors"
    checkpoint.write(path, wrong, {})
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps({"sha256": sha256}))
    with pytest.raises(
        CheckpointError, match=rf"does not fit LeNet5: (?s:.*){name}: .* torch.Size\(\[1\]\)"
    ):
        networks.load_trained("LeNet5", tmp_path)


def test_names_and_missing_weights_are_told(saved, tmp_path):
    assert networks.full_name("resnetcifar20") == "ResNetCIFAR20"
    with pytest.raises(ValueError, match=r"one of LeNet5, .*; got 'lenet'"):
        networks.build("lenet")
    with pytest.raises(ValueError, match=r"no trained weights of VGG16 in .*; there: LeNet5"):
        networks.load_trained("VGG16", tmp_path)


def test_weights_too_large_for_half_precision_are_not_written(tmp_path):
    model = networks.build("LeNet5")
    next(model.parameters()).data.fill_(1e6)
    with pytest.raises(ValueError, match="do not fit into half precision"):
        networks.save_trained(model, "LeNet5", DETAILS, tmp_path)
    assert not list(tmp_path.iterdir())


def test_results_are_read_in_the_order_of_the_networks(tmp_path):
    assert networks.results(tmp_path) == {}
    for name in ("VGG16", "LeNet5", "Other"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"network": name}))
    found = networks.results(tmp_path)
    assert list(found) == ["LeNet5", "VGG16"]
    assert all(record["network"] == name for name, record in found.items())


# Fields that recipes once had, and what they said where they changed nothing.
FORMER = {"schedule": "triangle", "label_smoothing": 0.0, "optimizer": "sgd"}


def as_today(stored: dict) -> training.Recipe:
    """A stored recipe as a `Recipe`. What a former field did has to be nothing, a field that came
    later has its default where the file does not say otherwise."""
    former = {name: stored[name] for name in FORMER if name in stored}
    assert former == {name: FORMER[name] for name in former}
    return training.Recipe(**{name: stored[name] for name in stored if name not in FORMER})


def stored_recipes():
    files = [*networks.RESULTS.glob("*.json"), *networks.WEIGHTS.glob("*.json")]
    records = {f"{path.parent.name}/{path.name}": json.loads(path.read_text()) for path in files}
    return {path: record for path, record in records.items() if {"network", "recipe"} <= {*record}}


@pytest.mark.parametrize("path", stored_recipes())
def test_a_stored_number_belongs_to_the_recipe_of_its_network(path):
    """Who changes a recipe trains again. The number of epochs stands beside the result."""
    record = stored_recipes()[path]
    recipe = training.RECIPES[record["network"]][record.get("profile", "cpu")]
    assert replace(as_today(record["recipe"]), epochs=recipe.epochs) == recipe
    assert record["recipe"]["epochs"] == record["epochs"]


def test_the_recipes_of_all_stored_results_are_compared():
    assert {f"results/{name}.json" for name in networks.results()} <= {*stored_recipes()}
    assert {f"weights/{name}.json" for name in cards()} <= {*stored_recipes()}


def test_a_stored_recipe_of_today_and_of_former_days():
    assert as_today({"epochs": 3, "schedule": "triangle"}) == training.Recipe(epochs=3)
    for field in ({"optimizer": "muon"}, {"schedule": "cosine"}, {"label_smoothing": 0.1}):
        with pytest.raises(AssertionError):
            as_today({"epochs": 3} | field)


def cards():
    return [path.stem for path in sorted(networks.WEIGHTS.glob("*.json"))]


def test_the_stored_weights_are_few_and_small():
    assert "LeNet5" in cards() and set(cards()) <= set(networks.NETWORKS)
    assert sum(path.stat().st_size for path in networks.WEIGHTS.iterdir()) < 20e6


@pytest.mark.parametrize("name", cards())
def test_the_card_of_stored_weights_says_how_they_were_made(name):
    card = networks.card(name)
    assert card["network"] == name and 0.6 < card["accuracy"] < 1
    assert {"data", "images", "seed", "machine", "versions", "processor_seconds"} <= set(card)
    assert card["recipe"] == networks.results()[name]["recipe"]
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert networks.load_trained(name)(images).isfinite().all()


@pytest.mark.skipif(
    not os.environ.get("CNN_LESSONS_DATA"),
    reason="CNN_LESSONS_DATA does not name a folder with CIFAR-10",
)
@pytest.mark.parametrize("name", cards())
def test_the_stored_weights_reach_what_their_card_says(name):
    cifar = data.load(os.environ["CNN_LESSONS_DATA"])
    if cifar.name != networks.card(name)["data"]:
        pytest.skip(f"the card is for {networks.card(name)['data']}, this is {cifar.name}")
    result = training.evaluate(networks.load_trained(name), cifar.batches("test", 500))
    assert result.accuracy == pytest.approx(networks.card(name)["accuracy"], abs=0.0005)


# --- weights from elsewhere, and the sweep of depths ----------------------------------------------


def test_the_imagenet_network_is_torchvisions_under_our_names(monkeypatch):
    torch.manual_seed(0)
    theirs, asked = torchvision.models.resnet18().eval(), {}

    def download(url, **how):
        asked.update(how, url=url, timeout=socket.getdefaulttimeout())
        print("Downloading", file=sys.stderr)
        return theirs.state_dict()

    monkeypatch.setenv("CNN_LESSONS_PROFILE", "cpu")
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    model, prepare, classes = networks.load_imagenet(18, timeout=3)
    assert asked["check_hash"] is True and asked["weights_only"] is True and asked["timeout"] == 3
    assert asked["url"].endswith("resnet18-f37072fd.pth") and socket.getdefaulttimeout() is None
    question = prepare(torch.randint(256, (3, 300, 400), dtype=torch.uint8))[None]
    with torch.no_grad():
        torch.testing.assert_close(model(question), theirs(question))
    assert question.shape == (1, 3, 224, 224) and len(classes) == 1000 and not model.training


@pytest.mark.parametrize("error", [URLError("no name"), RuntimeError("hash"), EOFError()])
def test_without_the_imagenet_weights_there_is_an_oserror(error, monkeypatch):
    def download(url, **how):
        raise error

    monkeypatch.setenv("CNN_LESSONS_PROFILE", "cpu")
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    with pytest.raises(OSError):
        networks.load_imagenet(18)
    assert socket.getdefaulttimeout() is None


def test_the_tests_download_no_weights(monkeypatch):
    monkeypatch.setenv("CNN_LESSONS_PROFILE", "test")
    with pytest.raises(OSError, match="nothing is downloaded"):
        networks.load_imagenet(18)


def test_the_sweep_pairs_the_seeds_of_the_depths_that_are_asked_for(tmp_path):
    rows = [("plain 8", 0, 0.1), ("plain 8", 1, 0.2), ("plain 56", 1, 0.3)]
    keys = ("variant", "seed", "test_accuracy")
    text = json.dumps({"rows": [dict(zip(keys, row)) for row in rows]})
    (tmp_path / "depth.json").write_text(text)
    sweep = partial(networks.depth_sweep, "test_accuracy", folder=tmp_path)
    assert sweep() == {"plain 8": [0.2], "plain 56": [0.3]}
    assert sweep(["plain 8"]) == {"plain 8": [0.1, 0.2]}
    with pytest.raises(ValueError, match="variants must be of plain 8, plain 56; got 'plain 20'"):
        sweep(["plain 20"])
