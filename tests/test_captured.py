"""Captured steps: the numbers of those taken one by one, and nothing lost where it fails.

On a CPU a stand-in captures: a replay calls the step again. What only a GPU can show is tested
where there is one.
"""

import contextlib
import gc
import inspect
import weakref
from collections import defaultdict
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torchvision

from cnn_lessons import data, networks, training
from cnn_lessons.training import Recipe, captured, fit, loop
from tests.interrupted import network, numbers, state
from tests.test_checkpoint import Interrupted
from tests.test_interrupts import interrupt_anywhere

SET = data.generate(train=100, test=20)
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


class Rounded(Recipe):
    """Its rates are numbers of 32 bits: in a tensor they are the same."""

    def rate(self, progress):
        return float(np.float32(super().rate(progress)))


RECIPE = Rounded(epochs=3, learning_rate=0.02, clip=1.0, batch_size=16)


class StandIn:
    """In place of CUDA. `fails` is called after the step of a capture, which then has been done."""

    def __init__(self, monkeypatch, fails=None):
        self.captures = self.replays = self.asides = 0
        self.fails = fails
        for module in (captured, loop):
            monkeypatch.setattr(module, "has_graphs", lambda device: True)
        monkeypatch.setattr(captured, "aside", self.aside)
        monkeypatch.setattr(captured, "capture", self.capture)
        captured.say.cache_clear()

    @contextlib.contextmanager
    def aside(self, device):
        self.asides += 1
        yield

    def capture(self, step, device):
        self.captures += 1
        if self.fails:
            step()
            self.fails()

        def replay():
            self.replays += 1
            step()

        return replay


def train(recipe=RECIPE, model=None, after=10**6, **options):
    """70 pictures: four batches of 16 an epoch, and one of 6."""
    torch.manual_seed(0)
    model = network() if model is None else model
    batches = Interrupted(SET.batches("train", 16, augment=True, images=70), after)
    history = fit(model, batches, SET.batches("validation", 5), recipe, False, **options)
    return numbers(history, model), history, torch.get_rng_state().tolist()


@pytest.mark.parametrize("change", [{}, {"precision": "bfloat16"}, {"momentum": 0.0, "clip": None}])
def test_replayed_steps_give_the_numbers_of_eager_ones_bit_for_bit(monkeypatch, change):
    """With dropout, batch norm, clipping, a smaller last batch and validation in between."""
    recipe = replace(RECIPE, **change)
    expected, _, random = train(recipe)
    there = StandIn(monkeypatch)
    found, _, same_random = train(recipe)
    assert found == expected and same_random == random
    # 3 epochs of 4 whole batches, the first 3 aside: 9 are replayed.
    assert (there.asides, there.captures, there.replays) == (captured.WARM_UP, 1, 9)


def test_without_graphs_and_where_they_are_not_wanted_nothing_is_captured(monkeypatch):
    def never(*_):
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(captured, "capture", never)
        patch.setattr(captured, "aside", never)
        expected, *_ = train()
    there = StandIn(monkeypatch)
    found, *_ = train(graph=False)
    assert found == expected and there.captures == there.asides == 0


def test_a_replayed_step_has_the_rate_of_its_own_moment(monkeypatch):
    rates, step = [], torch.optim.SGD.step

    def noted(self, *args, **options):
        rates.append(float(self.param_groups[0]["lr"]))
        return step(self, *args, **options)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    StandIn(monkeypatch)
    train()
    assert rates == [RECIPE.rate(k / 15) for k in range(15)]


def adam(model, recipe, **options):
    return torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, **options)


class Renewing(torch.optim.Optimizer):
    """Momentum whose sums are new tensors at each step."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                state["sum"] = 0.9 * state.get("sum", 0.0) + weight.grad
                weight -= group["lr"] * state["sum"]


OPTIMIZERS = {
    "SGD": None,
    "Adam": partial(adam, fused=True),
    "Renewing": lambda model, recipe: Renewing(
        model.parameters(), {"lr": recipe.learning_rate, "capturable": True}
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_capture_that_fails_changes_no_number_and_is_told_once(monkeypatch, capsys, name):
    def fails():
        try:
            raise RuntimeError("operation not permitted when stream is capturing\nand much more")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    optimizer = OPTIMIZERS[name]
    expected, _, random = train(optimizer=optimizer)
    there = StandIn(monkeypatch, fails)
    for _ in range(2):
        try:
            raise KeyboardInterrupt  # one of before, which has nothing to do with it
        except KeyboardInterrupt:
            found, history, same_random = train(optimizer=optimizer)
        assert found == expected and same_random == random and not history.stopped
    out = capsys.readouterr().out
    assert there.captures == 2 and there.replays == 0, "it is not tried again and again"
    assert out == (
        "Python launches each step, which is slower: no CUDA graph can be made of it, "
        "operation not permitted when stream is capturing.\n"
    )


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_interrupt_in_a_capture_stops_and_changes_nothing(monkeypatch, wrapped):
    """CUDA makes an error of its own of what ends a capture."""

    def interrupt():
        if not wrapped:
            raise KeyboardInterrupt
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("the capture was not ended")

    stopped_before, history, random = train(after=captured.WARM_UP)
    assert "after 3 of 15" in history.stopped
    StandIn(monkeypatch, interrupt)
    found, history, same_random = train()
    assert "after 3 of 15" in history.stopped
    assert found == stopped_before and same_random == random


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_captured_training_that_is_interrupted_anywhere_goes_on(monkeypatch, tmp_path):
    """A step that was replayed counts or does not, but is in the weights no more than once."""
    StandIn(monkeypatch)
    recipe = replace(RECIPE, epochs=2)
    expected, *_ = train(recipe)

    def switches():
        now = state(network())
        return [now[name] for name in ("gradients", "autocast", "cache", "watchers")]

    @contextlib.contextmanager
    def a_captured_training(folder):
        path, before = folder / "run", switches()
        path.unlink(missing_ok=True)
        yield lambda: train(recipe, checkpoint=path)
        assert switches() == before
        found, *_ = train(recipe, checkpoint=path)
        assert found == expected

    interrupt_anywhere(a_captured_training, tmp_path / "all")


def test_another_error_in_a_capture_is_not_hidden(monkeypatch):
    def ends():
        raise SystemExit(3)

    StandIn(monkeypatch, ends)
    with pytest.raises(SystemExit):
        train()


def test_what_cannot_be_captured_is_told_beforehand(monkeypatch, capsys):
    there = StandIn(monkeypatch)
    train(optimizer=adam)
    assert "Adam was not made with fused=True or capturable=True" in capsys.readouterr().out
    model = network()
    seen = []
    model[0].register_forward_hook(lambda layer, given, maps: seen.append(len(maps)))
    train(model=model)
    assert "a layer has a hook" in capsys.readouterr().out
    assert there.captures == there.asides == 0 and seen[:5] == [16, 16, 16, 16, 6]


@pytest.mark.parametrize("stops", [[0], [2], [5], [8, 1], [14]])
def test_a_stopped_training_goes_on_to_the_same_numbers(monkeypatch, tmp_path, stops):
    expected, *_ = train()
    there = StandIn(monkeypatch)
    for after in stops:
        train(after=after, checkpoint=tmp_path / "run")
    model = network()
    found, history, _ = train(model=model, checkpoint=tmp_path / "run")
    assert found == expected and history.batches == 15 and there.replays


def test_several_trainings_in_one_process_leave_no_step_behind(monkeypatch):
    steps, made = [], captured.CapturedStep.__init__

    def noted(self, *args):
        steps.append(weakref.ref(self))
        made(self, *args)

    monkeypatch.setattr(captured.CapturedStep, "__init__", noted)
    StandIn(monkeypatch)
    model = network()
    train(model=model)
    train(model=model)
    gc.collect()
    assert [step() for step in steps] == [None, None]
    assert all(weight.grad is None for weight in model.parameters())


def test_batches_of_several_sizes_and_kinds_are_taken_one_by_one(monkeypatch):
    sizes = (8, 8, 8, 8, 3, 8, 5)
    torch.manual_seed(0)
    batches = [(torch.randn(n, 3, 32, 32), torch.arange(n) % 10) for n in sizes]
    batches.append((torch.randn(8, 3, 32, 32, dtype=torch.float64).float(), torch.arange(8) % 10))

    def run():
        torch.manual_seed(0)
        model = network()
        return numbers(fit(model, batches, batches[:1], replace(RECIPE, epochs=2), False), model)

    expected = run()
    there = StandIn(monkeypatch)
    assert run() == expected and there.replays == 9


def test_the_loop_stays_on_one_screen():
    parts = (loop._train_epoch, loop._step)
    assert sum(len(inspect.getsource(part).splitlines()) for part in parts) <= 50
    assert len(inspect.getsource(captured.CapturedStep).splitlines()) <= 90


class Told:
    """Notes what CUDA is told, in words; stands for its streams, graphs and generators."""

    def __init__(self, monkeypatch):
        self.words, self.current = [], "usual"
        for name in ("stream", "graph"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: Named("side", self.words))
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: Named("graph", self.words))
        monkeypatch.setattr(torch.cuda, "default_generators", (Named("random", self.words),))
        now = Named("usual", self.words)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: now)
        monkeypatch.setattr(captured, "FREE", defaultdict(list))

    @contextlib.contextmanager
    def stream(self, stream):
        self.current, before = stream.name, self.current
        try:
            yield
        finally:
            self.current = before

    @contextlib.contextmanager
    def graph(self, graph, stream, capture_error_mode):
        """As PyTorch's: after an error it leaves its stream the current one."""
        assert capture_error_mode == "thread_local" and self.current == stream.name == "side"
        self.words.append("begin")
        yield
        self.words.append("end")


class Named:
    """Anything with a name: what is called of it is noted."""

    def __init__(self, name, words):
        self.name, self.words = name, words

    def __getattr__(self, called):
        def noted(*arguments):
            names = [argument.name for argument in arguments]
            self.words.append(" ".join([self.name, called, *names]))
            return Named(f"{self.name}'s {called}", self.words)

        return noted


def test_cuda_is_told_what_it_must_know_and_in_which_order(monkeypatch):
    cuda, device = Told(monkeypatch), torch.device("cuda")
    replay = captured.capture(lambda: cuda.words.append(f"step in {cuda.current}"), device)
    replay()
    waits = ["side wait_stream usual", "usual wait_stream side"]
    expected = ["random clone_state", waits[0], "begin", "step in side", "end", waits[1]]
    assert cuda.words == [*expected, "graph replay"] and cuda.current == "usual"

    def fails():
        raise RuntimeError("it waits")

    cuda.words.clear()
    with pytest.raises(RuntimeError, match="it waits"):
        captured.capture(fails, device)
    put_back = "random graphsafe_set_state random's clone_state"
    assert cuda.words == ["random clone_state", waits[0], "begin", waits[1], put_back]
    assert cuda.current == "usual" and captured.captured(fails, torch.device("cpu")) is fails
    cuda.words.clear()
    calls = []
    captured.captured(lambda: calls.append(cuda.current), device)()
    assert calls == (captured.WARM_UP + 1) * ["side"] and cuda.words[-1] == "graph replay"


def test_graphs_that_live_have_streams_of_their_own_and_hand_them_on(monkeypatch):
    Told(monkeypatch)
    device, stream, made, replays = torch.device("cuda"), torch.cuda.Stream, [], []

    class Graph:
        def replay(self):
            pass

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "Stream", lambda on: made.append(on) or stream(on))
    replays += [captured.captured(lambda: None, device) for _ in range(3)]
    assert len(made) == 3 and not captured.FREE[device]
    replays.pop(1)
    gc.collect()
    assert len(captured.FREE[device]) == 1
    replays.append(captured.captured(lambda: None, device))
    assert len(made) == 3 and not captured.FREE[device]
    with pytest.raises(ZeroDivisionError):
        captured.capture(lambda: 1 / 0, device)
    assert len(made) == 4 and len(captured.FREE[device]) == 1


# ---- On a GPU -----------------------------------------------------------------------------------


@pytest.fixture
def replays(monkeypatch):
    """Counts what is replayed on the GPU."""
    counted, original = [], captured.capture

    def capture(step, device):
        replay = original(step, device)
        return lambda: counted.append(1) or replay()

    monkeypatch.setattr(captured, "capture", capture)
    captured.say.cache_clear()
    return counted


def on_cuda(model, graph=True, recipe=RECIPE, seed=0, **options):
    """The history and the weights of a short training on the GPU."""
    torch.manual_seed(seed)
    model = model.to("cuda")
    batches = SET.batches("train", 16, augment=True, images=70, device="cuda")
    check = SET.batches("validation", 5, device="cuda")
    history = fit(model, batches, check, recipe, False, graph=graph, **options)
    return history, {name: value.cpu() for name, value in model.state_dict().items()}


def same(found, expected):
    """Kernels that add in another order from run to run differ in the last bits; steps add up."""
    history, weights = found
    losses, others = (one.column("train_loss") for one in (history, expected[0]))
    assert losses == pytest.approx(others, rel=1e-3)
    for name, value in expected[1].items():
        torch.testing.assert_close(weights[name], value, rtol=1e-2, atol=1e-3)


@CUDA
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_cuda_replayed_steps_are_eager_ones(replays, precision):
    """Dropout as well: a graph draws the numbers that its steps would draw."""
    recipe = replace(RECIPE, precision=precision)
    expected = on_cuda(network(), graph=False, recipe=recipe)
    state = torch.cuda.get_rng_state()
    assert not replays
    same(on_cuda(network(), recipe=recipe), expected)
    assert len(replays) == 9 and torch.equal(torch.cuda.get_rng_state(), state)


@CUDA
@pytest.mark.parametrize("name", ["LeNet5", "ResNetCIFAR20", "AlexNetSmall", "GoogLeNetBN"])
def test_on_cuda_the_networks_of_the_course_are_captured(replays, name):
    def built():
        torch.manual_seed(0)
        return networks.build(name)

    recipe = replace(RECIPE, epochs=2, learning_rate=1e-3)
    expected = on_cuda(built(), graph=False, recipe=recipe)
    found = on_cuda(built(), recipe=recipe)
    assert len(replays) == 5
    assert found[0].column("train_loss") == pytest.approx(
        expected[0].column("train_loss"), rel=1e-2
    )


@CUDA
def test_on_cuda_a_network_of_torchvision_learns(replays):
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v3_small(num_classes=10)
    history, _ = on_cuda(model, recipe=replace(RECIPE, epochs=12, learning_rate=0.05))
    assert len(replays) == 45 and not history.stopped
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss


@CUDA
def test_on_cuda_a_loss_that_waits_falls_back_and_dropout_goes_on(replays, capsys):
    def waits(model, images, labels):
        loss, logits = training.cross_entropy(model, images, labels)
        return loss * (1.0 if loss.item() > 0 else 2.0), logits

    expected = on_cuda(network(), graph=False)
    same(on_cuda(network(), loss=waits), expected)
    assert not replays and capsys.readouterr().out.count("no CUDA graph can be made") == 1
    usual = torch.cuda.default_stream()
    assert torch.cuda.current_stream() == usual
    same(on_cuda(network()), expected)  # the next one can
    assert len(replays) == 9


@CUDA
def test_on_cuda_adam_is_captured_where_it_says_that_it_can(replays):
    def capturable(model, recipe):
        return adam(model, recipe, capturable=True)

    recipe = replace(RECIPE, learning_rate=1e-3)
    expected = on_cuda(network(), graph=False, recipe=recipe, optimizer=adam)
    found = on_cuda(network(), recipe=recipe, optimizer=capturable)
    assert len(replays) == 9
    # Losses alone: a bias before a batch norm has no gradient but noise, and Adam makes it a step.
    losses, others = (history.column("train_loss") for history, _ in (found, expected))
    assert losses == pytest.approx(others, rel=1e-2)


@CUDA
def test_on_cuda_a_stopped_training_goes_on(replays, tmp_path):
    expected = on_cuda(network())
    calls = []

    def stop(history):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    path = tmp_path / "run"
    stopped, _ = on_cuda(network(), checkpoint=path, watch=stop)
    assert len(stopped.epochs) == 2 and "Stopped by you" in stopped.stopped
    same(on_cuda(network(), seed=5, checkpoint=path), expected)


@CUDA
def test_on_cuda_many_trainings_leave_no_memory_behind(replays):
    def used():
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved()

    on_cuda(networks.build("LeNet5"))
    before = used()
    for _ in range(20):
        on_cuda(networks.build("LeNet5"))
    assert used() <= before + 2**21, "of 20 graphs, less than the smallest block is left"
