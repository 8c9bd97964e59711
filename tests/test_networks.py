"""The trained weights: only the right file for the right network is taken."""

import hashlib
import json
import os
from dataclasses import replace
from functools import partial

import pytest
import torch

from cnn_lessons import data, networks, training
from cnn_lessons.models import VGG, GoogLeNetCIFAR
from cnn_lessons.training import checkpoint
from cnn_lessons.training.checkpoint import CheckpointError

DETAILS = {"data": "shapes", "accuracy": 0.5}


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    return networks.save_trained(networks.build("LeNet5"), "LeNet5", DETAILS, tmp_path).eval()


def test_every_network_has_its_recipes_and_its_input():
    assert list(networks.NETWORKS) == list(training.RECIPES)
    for name in networks.NETWORKS:
        with torch.device("meta"):
            assert networks.build(name.upper())(torch.empty(2, 3, 32, 32)).shape == (2, 10)


DEAD = {"VGG16Plain": partial(VGG, "D", 10, 32), "GoogLeNetCIFAR": GoogLeNetCIFAR}


@pytest.mark.parametrize("name", DEAD)
@pytest.mark.parametrize("seed", range(5))
def test_logits_depend_on_the_picture_with_our_start_and_not_with_pytorchs(name, seed):
    def spread(build):
        torch.manual_seed(seed)
        with torch.inference_mode():
            return float(build().eval()(torch.randn(4, 3, 32, 32)).std(dim=0).mean())

    assert spread(partial(networks.build, name)) > 0.05
    assert spread(DEAD[name]) < 1e-3


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
    with pytest.raises(CheckpointError, match=rf"{name} is \(1,\) there, \(6, 3, 5, 5\) here"):
        networks.load_trained("LeNet5", tmp_path)


def test_names_and_missing_weights_are_told(saved, tmp_path):
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


def cards():
    return [path.stem for path in sorted(networks.WEIGHTS.glob("*.json"))]


def test_the_stored_weights_are_few_and_small():
    assert "LeNet5" in cards() and set(cards()) <= set(networks.NETWORKS)
    assert sum(path.stat().st_size for path in networks.WEIGHTS.iterdir()) < 15e6


@pytest.mark.parametrize("name", cards())
def test_the_card_of_stored_weights_says_how_they_were_made(name):
    card = networks.card(name)
    assert card["network"] == name and 0.6 < card["accuracy"] < 1
    assert training.Recipe(**card["recipe"]).epochs == card["epochs"]
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
