"""All that a GPU reads has been brought to it: shown on a CPU, on a card that is not there."""

import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from cnn_lessons import data, networks, training
from cnn_lessons.data import batches
from cnn_lessons.models.googlenet import loss_with_aux
from cnn_lessons.see import probes
from cnn_lessons.training import Recipe, captured, state
from tests.card import pretended
from tests.store_notebooks import NOTEBOOKS

LESSONS = sorted(NOTEBOOKS.glob("0[1-7]*.ipynb"))
SET = data.generate(train=40, test=10)


@pytest.mark.parametrize(
    "mix",
    [
        lambda here, there: here + there,
        lambda here, there: torch.stack([here, there]),
        lambda here, there: torch.tensor([1.0, 2.0, 3.0]) * there,
        lambda here, there: here[there.argmax(dim=1)],
        lambda here, there: nn.Linear(3, 2)(there),
        lambda here, there: there.numpy(),
        lambda here, there: torch.rand(2, device=there.device, generator=torch.Generator()),
        lambda here, there: torch.zeros(2, device="cuda") + here[0, :2],
        lambda here, there: there.double(),
    ],
)
def test_the_card_refuses_what_cuda_or_apple_refuse(monkeypatch, mix):
    with pretended(monkeypatch):
        here = torch.rand(3, 3)
        with pytest.raises((RuntimeError, TypeError), match=r"same device|cuda|float64"):
            mix(here, here.to("cuda"))


def test_the_card_takes_what_cuda_takes(monkeypatch):
    with pretended(monkeypatch):
        here = torch.rand(3, 3)
        there = here.to("cuda")
        assert (here.device.type, there.device.type) == ("cpu", "cuda")
        kept = [there * 2.0, there * torch.tensor(2.0), there[torch.tensor([0, 1])], there.half()]
        kept += [torch.zeros_like(there), there.new_zeros(2), here.to(there), there[:, 0]]
        assert {tensor.device.type for tensor in kept} == {"cuda"}
        back = [there.cpu(), there.to("cpu"), torch.zeros(2), here.copy_(there)]
        assert {tensor.device.type for tensor in back} == {"cpu"}
        assert torch.equal(there.cpu(), here) and there.cpu().numpy().shape == (3, 3)


@pytest.mark.parametrize("name", ["LeNet5", "GoogLeNetBN", "AlexNetSmall"])
def test_a_training_on_the_card_has_the_numbers_of_one_on_the_cpu(monkeypatch, name):
    def run(device):
        torch.manual_seed(0)
        model = networks.build(name).to(device)
        train = SET.batches("train", 16, augment=True, device=device)
        check = SET.batches("validation", 4, device=device)
        recipe = Recipe(epochs=2, batch_size=16, clip=1.0, learning_rate=0.01)
        history = training.fit(model, train, check, recipe, progress=False)
        return history.column("train_loss"), history.column("validation_loss")

    expected = run("cpu")
    with pretended(monkeypatch):
        assert run("cuda") == expected


@pytest.mark.parametrize("at_once", [batches.AT_ONCE, 17, 1])
def test_the_card_cuts_many_batches_at_once_and_gets_those_of_the_cpu(monkeypatch, at_once):
    """36 pictures in batches of 5: the last has one."""

    def passes(device):
        cut = SET.batches("train", 5, augment=True, device=device)
        return [(images.cpu(), labels.cpu()) for _ in range(2) for images, labels in cut]

    monkeypatch.setattr(batches, "AT_ONCE", at_once)
    expected = passes("cpu")
    with pretended(monkeypatch):
        found = passes("cuda")
    assert [len(labels) for _, labels in found] == 2 * [5, 5, 5, 5, 5, 5, 5, 1]
    for pair, same in zip(found, expected, strict=True):
        assert pair[0].is_contiguous(memory_format=torch.channels_last)
        assert all(torch.equal(one, other) for one, other in zip(pair, same, strict=True))


def test_what_a_pass_over_small_batches_launches_on_the_card_grows_with_the_pictures(monkeypatch):
    class Counter(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.count += 1
            return function(*args, **(kwargs or {}))

    def launched(device, size):
        cut = SET.batches("train", size, augment=True, device=device)
        with Counter() as counter:
            assert len(list(cut)) == -(-36 // size)
        return counter.count

    assert launched("cpu", 2) > 9 * launched("cpu", 36)
    with pretended(monkeypatch):
        assert launched("cuda", 2) == launched("cuda", 36)


def test_precision_is_probed_on_the_card_and_heads_are_trained_there(monkeypatch):
    with pretended(monkeypatch):
        images, labels = next(iter(SET.batches("train", 4, device="cuda")))
        large = nn.functional.interpolate(images, 224)
        model = networks.models.GoogLeNet(num_classes=10).to("cuda")
        loss, logits = loss_with_aux(model, large, labels)
        loss.backward()
        assert {weight.grad.device.type for weight in model.parameters()} == {"cuda"}
        assert logits.device.type == "cuda"
        model = networks.build("LeNet5").to("cuda")
        found = training.faster_precision(model, images, labels, seconds=0)
        assert found in ("float32", "bfloat16")


def test_signal_and_gradient_are_measured_on_the_card(monkeypatch):
    def measured(device):
        torch.manual_seed(0)
        images, labels = next(iter(SET.batches("train", 4, device=device)))
        return probes.depth_statistics(networks.build("LeNet5").to(device), images, labels)

    expected = measured("cpu")
    with pretended(monkeypatch):
        assert measured("cuda") == expected


def test_apples_device_is_found_waited_for_and_its_random_numbers_are_kept(monkeypatch):
    told = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: told.append("waits"))
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: torch.arange(3))
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state: told.append(state.tolist()))
    device = training.device()
    assert device.type == "mps" and not captured.has_graphs(device)
    captured.wait(device)
    with state.kept(random=True):
        pass
    assert told == ["waits", [0, 1, 2]]
    assert training.profile() == "test"
    assert training.precision.precisions(device) == ["float32", "bfloat16"]
    monkeypatch.delenv("CNN_LESSONS_PROFILE")
    assert training.profile() == "cpu"
    assert captured.captured(test_the_card_takes_what_cuda_takes, device).__name__.startswith(
        "test"
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training.device().type == "cuda" and training.profile() == "gpu"


def run(monkeypatch, path, has_a_part):
    """A lesson's code but for its set-up, up to the last cell that has a part in it."""
    monkeypatch.setattr("builtins.display", lambda *shown: None, raising=False)
    cells = [c for c in nbformat.read(path, as_version=4).cells[2:] if c.cell_type == "code"]
    last = max(k for k, cell in enumerate(cells) if has_a_part(cell.source))
    names = {}
    for cell in cells[: last + 1]:
        exec(compile(cell.source, cell.id, "exec"), names)
    plt.close("all")


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_brings_all_that_it_computes_with_to_the_card(monkeypatch, path):
    """Up to the last cell in which the device, or a network on it, has a part."""
    with pretended(monkeypatch):
        run(monkeypatch, path, lambda source: "device" in source or "(net" in source)


def parameters(model):
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(
    ("lesson", "name", "epochs"), [("02_alexnet", "AlexNetCIFAR", 30), ("03_vgg", "VGG16", 10)]
)
def test_in_the_gpu_profile_a_lesson_trains_the_whole_network(monkeypatch, lesson, name, epochs):
    """Each training of the lesson is cut to a step on eight pictures, when it has been noted."""
    asked, fit, pictures = [], training.fit, data.generate(train=1_200, test=20)

    def short(model, train, validation, recipe, *_, **more):
        asked.append((parameters(model), recipe.epochs, train.num_images))
        few = SET.batches("train", 8, images=8)
        more = {key: value for key, value in more.items() if key in ("loss", "optimizer")}
        return fit(model, few, few, Recipe(1, 0.001, 8), False, **more)

    monkeypatch.setenv("CNN_LESSONS_PROFILE", "gpu")
    monkeypatch.setattr(data, "load", lambda: pictures)
    monkeypatch.setattr(training, "fit", short)
    run(monkeypatch, NOTEBOOKS / f"{lesson}.ipynb", lambda source: "training.fit(" in source)
    assert (parameters(networks.build(name)), epochs, len(pictures.train)) in asked
