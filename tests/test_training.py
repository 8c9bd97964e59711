"""The training loop: it learns, it can be stopped, it repeats, and it counts correctly."""

import math

import pytest
import torch
from torch import nn

from cnn_lessons import training
from cnn_lessons.models import LeNet5
from cnn_lessons.training import (
    Recipe,
    captured,
    evaluate,
    faster_precision,
    fit,
    loop,
    precision,
    predict,
    state,
)
from cnn_lessons.training.recipes import triangle


class Pictures:
    """A few fixed batches, in the form that `fit` takes."""

    def __init__(self, count=32, batch_size=16, seed=0):
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(count, 3, 32, 32, generator=generator)
        labels = torch.arange(count) % 10
        self.batches = list(zip(images.split(batch_size), labels.split(batch_size)))
        self.passes = 0

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        self.passes += 1
        return iter(self.batches)


def small(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))


def test_it_overfits_one_batch():
    torch.manual_seed(0)
    model, batch = LeNet5(), Pictures(16)
    recipe = Recipe(epochs=150, learning_rate=0.01, weight_decay=0.0)
    history = fit(model, batch, batch, recipe, progress=False)
    # Measured on four kinds of processor: 0.019, and all are right from epoch 75 on.
    assert history.epochs[-1].train_accuracy == 1.0 and history.epochs[-1].train_loss < 0.1
    assert evaluate(model, batch).accuracy == 1.0


def test_a_training_is_the_arithmetic_that_one_would_write():
    """Gradient and decay, momentum, a step that looks ahead (Nesterov), each by hand."""
    recipe = Recipe(epochs=2, learning_rate=0.1, momentum=0.8, weight_decay=0.3)
    model, other, pictures = small(), small(), Pictures()
    fit(model, pictures, pictures, recipe, progress=False)
    weights = list(other.parameters())
    velocity = [torch.zeros_like(weight) for weight in weights]
    for step, (images, labels) in enumerate(2 * pictures.batches):
        loss = nn.functional.cross_entropy(other(images), labels)
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, gradient, v in zip(weights, gradients, velocity):
                gradient = gradient + 0.3 * weight
                v.mul_(0.8).add_(gradient)
                weight -= recipe.rate(step / 4) * (gradient + 0.8 * v)
    # Measured: 1e-8 apart; with another decay, without the look ahead or momentum, or where
    # gradients add up from step to step, 0.01 or more.
    torch.testing.assert_close(list(model.parameters()), weights, rtol=0, atol=1e-4)
    assert not training.sgd(small(), Recipe(epochs=1, momentum=0)).param_groups[0]["nesterov"]


@pytest.mark.parametrize("progress", [True, False])
def test_the_rate_rises_and_falls_with_and_without_a_bar(progress, monkeypatch):
    rates = []
    step = torch.optim.SGD.step

    def noted(self, *args, **options):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **options)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    fit(small(), Pictures(), Pictures(), Recipe(epochs=5, learning_rate=0.5), progress)
    assert rates == pytest.approx([0.5 * triangle(k / 10) for k in range(10)])


def test_the_triangle():
    assert [triangle(0.0), triangle(0.1), triangle(0.2), triangle(0.6), triangle(1.0)] == (
        pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])
    )
    assert triangle(0.0, peak=0.0) == 1.0


def gradient_lengths(monkeypatch, **settings):
    """The length of the gradient at each step of a training."""
    lengths = []
    step = torch.optim.SGD.step

    def noted(self, *args, **options):
        gradients = [p.grad.norm() for group in self.param_groups for p in group["params"]]
        lengths.append(float(torch.stack(gradients).norm()))
        return step(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", noted)
        fit(small(), Pictures(), Pictures(), Recipe(epochs=2, **settings), progress=False)
    return lengths


def test_a_long_gradient_is_shortened_and_a_short_one_is_left_alone(monkeypatch):
    free = gradient_lengths(monkeypatch)
    assert free[0] > 5.0
    assert gradient_lengths(monkeypatch, clip=1.0)[:2] == pytest.approx([1.0, 1.0], rel=1e-4)
    assert gradient_lengths(monkeypatch, clip=1e6) == free


def test_fit_takes_another_loss():
    def doubled(model, images, labels):
        loss, logits = training.cross_entropy(model, images, labels)
        return 2 * loss, logits

    recipe, model = Recipe(epochs=1, learning_rate=1e-9), small()
    history = fit(model, Pictures(), Pictures(), recipe, progress=False, loss=doubled)
    (epoch,) = history.epochs
    assert epoch.train_loss == pytest.approx(2 * epoch.validation_loss, rel=1e-4)
    assert epoch.train_accuracy == epoch.validation_accuracy


def test_fit_takes_another_optimizer():
    made = []

    def adam(model, recipe):
        made.append(torch.optim.Adam(model.parameters(), lr=recipe.learning_rate))
        return made[-1]

    recipe = Recipe(epochs=10, learning_rate=0.003)
    history = fit(small(), Pictures(), Pictures(), recipe, False, optimizer=adam)
    assert history.epochs[-1].train_accuracy == 1.0
    steps = [float(of["step"]) for of in made[0].state.values()]
    assert steps == [20.0, 20.0]
    assert made[0].param_groups[0]["lr"] == pytest.approx(recipe.rate(19 / 20))


def test_without_a_fused_optimizer_the_plain_one_learns_the_same(monkeypatch):
    """PyTorch says so only at the first step, not when the optimizer is made."""

    def has_none(*_, **__):
        raise NotImplementedError("fused_sgd is not there for this device")

    fused = small()
    fit(fused, Pictures(), Pictures(), Recipe(epochs=2), progress=False)
    assert training.sgd(fused, Recipe(epochs=1)).param_groups[0]["fused"]
    monkeypatch.setattr(torch, "_fused_sgd_", has_none)
    plain = small()
    assert training.sgd(plain, Recipe(epochs=1)).param_groups[0]["fused"] is None
    fit(plain, Pictures(), Pictures(), Recipe(epochs=2), progress=False)
    torch.testing.assert_close(plain[1].weight, fused[1].weight)


def test_on_a_device_without_graphs_bfloat16_and_fused_steps_it_trains_as_on_the_cpu(
    monkeypatch, capsys
):
    """As on a device such as MPS: the way that works is found, and no number is another."""

    def missing(*_, **__):
        raise NotImplementedError("not there for this device")

    def no_bfloat16(kind, loss, model, images, labels):
        return missing() if kind == "bfloat16" else loss(model, images, labels)

    def run(kind):
        model = small()
        recipe = Recipe(epochs=2, precision=kind)
        return fit(model, Pictures(), Pictures(), recipe, progress=False), model[1].weight

    expected, weights = run("float32")
    monkeypatch.setattr(torch, "_fused_sgd_", missing)
    monkeypatch.setattr(captured, "capture", missing)
    monkeypatch.setattr(torch.cuda, "Stream", missing)
    for module in (precision, loop):
        monkeypatch.setattr(module, "forward", no_bfloat16)
    for kind in ("auto", "tf32"):
        history, same = run(kind)
        assert history.precision == "float32" and not history.stopped
        torch.testing.assert_close(same, weights)
        assert history.column("train_loss") == pytest.approx(expected.column("train_loss"))


def test_bfloat16_is_used_when_asked_for_and_validation_stays_in_float32():
    kinds = {True: set(), False: set()}
    model = small()
    model.register_forward_hook(
        lambda model, images, logits: kinds[model.training].add(logits.dtype)
    )
    recipe = Recipe(epochs=2, precision="bfloat16")
    history = fit(model, Pictures(), Pictures(), recipe, progress=False)
    assert kinds == {True: {torch.bfloat16}, False: {torch.float32}}
    assert history.precision == "bfloat16" and model[1].weight.dtype == torch.float32
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss


class Clock:
    """A clock that moves by what was done, not by how busy the machine is."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.seconds = 0.0, seconds
        monkeypatch.setattr(precision.time, "perf_counter", lambda: self.now)

    def loss(self, model, images, labels):
        on = torch.is_autocast_enabled(images.device.type)
        self.now += self.seconds["bfloat16" if on else "float32"]
        return training.cross_entropy(model, images, labels)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.05, "bfloat16"), (0.095, "float32"), (0.3, "float32")]
)
def test_the_probe_takes_bfloat16_only_where_it_is_clearly_faster(monkeypatch, seconds, expected):
    clock = Clock(monkeypatch, {"float32": 0.1, "bfloat16": seconds})
    assert faster_precision(small(), *Pictures().batches[0], clock.loss) == expected
    recipe = Recipe(epochs=1, precision="auto")
    history = fit(small(), Pictures(), Pictures(), recipe, False, loss=clock.loss)
    assert history.precision == expected


def test_the_probe_falls_back_where_bfloat16_fails():
    def fails(model, images, labels):
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("not implemented for 'BFloat16'")
        return training.cross_entropy(model, images, labels)

    assert faster_precision(small(), *Pictures().batches[0], fails, seconds=0) == "float32"


def test_the_probe_of_an_imitated_bfloat16_ends_with_a_few_pictures(monkeypatch):
    clock, seen = Clock(monkeypatch, {"float32": 0.1, "bfloat16": 0.3}), []

    def loss(model, images, labels):
        seen.append(len(images))
        return clock.loss(model, images, labels)

    images, labels = torch.rand(128, 3, 32, 32), torch.arange(128) % 10
    assert faster_precision(small(), images, labels, loss) == "float32"
    assert set(seen) == {2}


def test_the_probe_leaves_weights_statistics_and_random_numbers_alone():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), small())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    faster_precision(model, *Pictures().batches[0], seconds=0)
    assert torch.equal(torch.rand(4), expected)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def fake_device(monkeypatch, eager, captured):
    """A device with tf32 whose steps take so many seconds, by their precision."""
    now = [0.0]

    def forward(kind, loss, model, images, labels):
        now[0] += seconds[kind]
        return loss(model, images, labels)

    def capture(run, device):
        kind = run.args[0]
        return lambda: now.__setitem__(0, now[0] + captured[kind])

    seconds = eager
    monkeypatch.setattr(precision.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(precision, "precisions", lambda device: list(eager))
    monkeypatch.setattr(precision, "forward", forward)
    monkeypatch.setattr(precision, "captured", capture)


@pytest.mark.parametrize(
    ("captured", "expected"),
    [
        ((0.3, 0.29, 0.28), "float32"),
        ((0.3, 0.2, 0.19), "tf32"),
        ((0.3, 0.2, 0.15), "bfloat16"),
        ((0.3, 0.29, 0.2), "bfloat16"),
    ],
)
def test_the_probe_measures_the_steps_that_the_training_will_take(monkeypatch, captured, expected):
    kinds, batch = ("float32", "tf32", "bfloat16"), Pictures().batches[0]
    fake_device(monkeypatch, dict(zip(kinds, (0.4, 0.35, 0.5))), dict(zip(kinds, captured)))
    assert faster_precision(small(), *batch) == expected
    assert faster_precision(small(), *batch, graph=False) == "tf32"


def test_few_digits_are_for_nvidias_cards_from_ampere_on(monkeypatch):
    def has(capability, hip=None, kind="cuda"):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.version, "hip", hip)
        return precision.precisions(torch.device(kind))

    assert has((8, 0)) == has((9, 0)) == ["float32", "tf32", "bfloat16"]
    assert has((7, 5)) == ["float32"]
    for other in ({"hip": "6.4"}, {"kind": "cpu"}, {"kind": "mps"}):
        assert has((9, 4), **other) == ["float32", "bfloat16"]


@pytest.mark.parametrize(
    ("asked", "has"), [("tf32", ["float32", "bfloat16"]), ("bfloat16", ["float32"])]
)
def test_without_a_precision_a_recipe_that_wants_it_trains_in_float32_and_says_so(
    monkeypatch, capsys, asked, has
):
    captured.say.cache_clear()
    monkeypatch.setattr(loop, "precisions", lambda device: has)
    recipe = Recipe(epochs=1, precision=asked)
    for _ in range(2):
        history = fit(small(), Pictures(), Pictures(), recipe, progress=False)
        assert history.precision == "float32"
    assert capsys.readouterr().out == f"This device has no {asked}; it trains in float32.\n"


def test_products_are_in_tf32_where_that_is_the_precision_and_put_back_afterwards():
    class Images:  # on CUDA as far as `forward` looks
        device = torch.device("cuda")

    def now(*_):
        return [product.fp32_precision for product in state.PRODUCTS]

    before = now()
    with state.kept(), state.kept():
        for kind, expected in {"tf32": "tf32", "float32": "ieee", "bfloat16": "ieee"}.items():
            found = precision.forward(kind, now, None, Images, None)
            assert found == now() == [expected] * 2, "in backward as well"
    assert now() == before and before != ["ieee"] * 2
    assert torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


def test_the_generators_of_a_gpu_are_kept_too(monkeypatch):
    """A CPU stands in for two CUDA devices: only that each state goes back where it came from."""
    states = [torch.tensor([k], dtype=torch.uint8) for k in range(2)]
    put_back = {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: states)
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, k: put_back.update({k: int(state)})
    )
    found = state.rng_states()
    assert list(found) == ["cpu", "cuda0", "cuda1"]
    state.set_rng_states(found)
    assert put_back == {0: 0, 1: 1}


def test_the_same_seed_gives_the_same_numbers():
    def run(seed):
        model = small(seed)
        history = fit(model, Pictures(), Pictures(), Recipe(epochs=3), progress=False)
        return history.column("train_loss"), model[1].weight.detach()

    (losses, weights), (same_losses, same_weights), (other_losses, _) = run(0), run(0), run(1)
    assert losses == same_losses and torch.equal(weights, same_weights)
    assert losses != other_losses


def test_correct_pictures_are_counted_and_not_the_mean_of_batches():
    class Always0(nn.Module):
        def forward(self, images):
            return nn.functional.one_hot(torch.zeros(len(images), dtype=torch.long), 10).float()

    labels = torch.tensor([0] * 4 + [1])  # batches of 4 and 1: means 1 and 0, but 4 of 5 correct
    batches = list(zip(torch.zeros(5, 3, 32, 32).split(4), labels.split(4)))
    result = evaluate(Always0(), batches)
    assert (result.accuracy, result.images) == (0.8, 5)
    expected = math.log(math.e + 9) - 4 / 5
    assert result.loss == pytest.approx(expected, abs=1e-6)


def test_interrupt_keeps_weights_and_history(capsys):
    class Interrupted(Pictures):
        def __iter__(self):
            for number, batch in enumerate(super().__iter__()):
                if self.passes == 3 and number == 1:
                    raise KeyboardInterrupt
                yield batch

    model = small()
    before = model[1].weight.detach().clone()
    history = fit(model, Interrupted(), Pictures(), Recipe(epochs=5), progress=False)
    assert len(history.epochs) == 2 and "after 5 of 10 batches" in history.stopped
    assert history.stopped in capsys.readouterr().out and history.stopped in str(history)
    assert not torch.equal(before, model[1].weight) and not model.training


def test_interrupt_in_validation_keeps_the_model_usable():
    class Interrupted(Pictures):
        def __iter__(self):
            raise KeyboardInterrupt

    model = small()
    history = fit(model, Pictures(), Interrupted(), Recipe(epochs=2), progress=False)
    assert history.epochs == [] and "after 2 of 4" in history.stopped
    assert evaluate(model, Pictures()).images == 32


def test_an_interrupt_while_the_precision_is_tried_keeps_the_model_usable():
    class Interrupted(Pictures):
        def __iter__(self):
            raise KeyboardInterrupt

    model, recipe = small(), Recipe(epochs=2, precision="auto")
    history = fit(model, Pictures(), Interrupted(), recipe, progress=False)
    assert "after 0 of 4 batches" in history.stopped and not model.training


def test_a_loss_that_is_not_finite_stops_and_says_what_to_try():
    history = fit(
        small(), Pictures(), Pictures(), Recipe(epochs=9, learning_rate=1e30), progress=False
    )
    assert len(history.epochs) < 9
    assert "learning_rate below 1e+30" in history.stopped

    def endless(model, images, labels):
        value, logits = training.cross_entropy(model, images, labels)
        return value + float("inf"), logits

    how = {"progress": False, "loss": endless}
    assert "the loss is inf" in fit(small(), Pictures(), Pictures(), Recipe(1), **how).stopped


def test_predict_is_in_evaluation_mode_and_puts_the_mode_of_each_layer_back():
    model = nn.Sequential(nn.Dropout(0.5), small())
    model.train()[1].eval()  # as one freezes a part
    logits, labels = predict(model, Pictures())
    again, _ = predict(model, Pictures())
    assert torch.equal(logits, again) and logits.shape == (32, 10)
    assert model.training and model[0].training and not model[1].training
    assert torch.equal(labels, torch.arange(32) % 10) and not logits.requires_grad
    empty = nn.Sequential()
    predict(empty, Pictures())
    assert empty.training
    half = [(images.bfloat16(), labels) for images, labels in Pictures()]
    assert predict(model.bfloat16(), half)[0].dtype == torch.float32


def test_no_pictures_are_an_error_with_a_name():
    with pytest.raises(ValueError, match="batches must hold at least one picture"):
        evaluate(small(), [])


def test_what_watch_draws_changes_no_number_of_the_training():
    def run(watch):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Dropout(0.5), small())
        return fit(model, Pictures(), Pictures(), Recipe(epochs=3), False, watch=watch)

    plain, watched = run(None), run(lambda history: torch.rand(5))
    assert plain.column("train_loss") == watched.column("train_loss")


def test_watch_sees_every_finished_epoch():
    seen = []
    history = fit(
        small(),
        Pictures(),
        Pictures(),
        Recipe(epochs=3),
        progress=False,
        watch=lambda history: seen.append(len(history.epochs)),
    )
    assert seen == [1, 2, 3] and len(history.epochs) == 3


def test_history_prints_a_line_an_epoch():
    history = fit(small(), Pictures(), Pictures(), Recipe(epochs=2), progress=False)
    lines = str(history).splitlines()
    assert len(lines) == 4 and lines[3].split()[0] == "2"
    assert history.seconds == sum(epoch.seconds for epoch in history.epochs)
    assert all(e.images_per_second == pytest.approx(32 / e.seconds) for e in history.epochs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs must be above 0; got 0"),
        ({"epochs": 1, "learning_rate": -1.0}, "learning_rate must be above 0; got -1"),
        ({"epochs": 1, "images": 0}, "images must be None"),
        ({"epochs": 1, "clip": 0.0}, "clip must be above 0; got 0"),
        ({"epochs": 1, "weight_decay": -0.1}, "weight_decay must be 0 or more"),
        ({"epochs": 1, "warmup": 1.0}, "warmup must be from 0 to below 1; got 1"),
        ({"epochs": 1, "momentum": math.nan}, "momentum must be from 0 to below 1; got nan"),
        ({"epochs": 1, "precision": "half"}, "precision must be one of float32, .*got 'half'"),
        ({"epochs": 1, "start": "zeros"}, "start must be one of own, .*got 'zeros'"),
    ],
)
def test_a_bad_recipe_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**arguments)


def test_the_profile_comes_from_the_environment_or_the_device(monkeypatch):
    monkeypatch.setenv("CNN_LESSONS_PROFILE", "gpu")
    assert training.profile() == "gpu"
    monkeypatch.delenv("CNN_LESSONS_PROFILE")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training.profile() == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training.profile() == "gpu" and training.device().type == "cuda"
    monkeypatch.setenv("CNN_LESSONS_PROFILE", "fast")
    with pytest.raises(ValueError, match="one of test, cpu, gpu; got 'fast'"):
        training.profile()


def test_every_recipe_has_every_profile():
    for name, recipes in training.RECIPES.items():
        assert tuple(recipes) == training.PROFILES, name
