"""One step of a training on a GPU, captured as a graph and replayed.

A GPU works off a queue of kernels, small programs, some for each layer. Python puts them there one
by one; for each it looks up shapes and types, finds memory, and notes what backward will need. For
a small network that takes longer than computing, and the card waits.

A CUDA graph is that queue, written down once. While it is captured nothing is computed; afterwards
one call replays all of it. So it has two limits. It knows places in memory, not values: each batch
has to be copied to the place of the first, and the learning rate has to be a number on the GPU. And
no Python runs in it: what a layer, loss or optimizer counts, draws or decides in Python stays as it
was at the capture. PyTorch's own dropout and batch norm are made for it.
"""

import sys
import warnings
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

WARM_UP = 3  # steps taken before one is captured: PyTorch sets things up in the first ones
NOT_CAPTURED = "Python launches each step, which is slower: no CUDA graph can be made of it, {}."
# Images, labels and the learning rate; a step trains on them.
Step = Callable[[Tensor, Tensor, float | Tensor], None]


class CapturedStep:
    """Takes the steps of one training: the first as always, then by replaying one of them.

    `step` trains on one batch, and adds to `sums` what it sees. It is called for the first batches,
    for every batch of another size than the first, and for all where it cannot be captured; one
    sentence then says why, once.
    """

    def __init__(
        self, step: Step, model: nn.Module, optimizer: torch.optim.Optimizer,
        sums: tuple[Tensor, ...], possible: bool,
    ):  # fmt: skip
        self.step, self.model, self.optimizer, self.sums = step, model, optimizer, sums
        self.device = next(model.parameters()).device
        self.possible = possible
        self.warm_up = WARM_UP
        self.batch: tuple[Tensor, ...] = ()  # what the graph reads, with the rate
        self.rate = torch.zeros((), device=self.device)
        self.replay: Callable[[], object] | None = None

    def __call__(self, images: Tensor, labels: Tensor, rate: float) -> None:
        if not self.possible or not self._fits(images, labels):
            self.step(images, labels, rate)
        elif self.warm_up:
            self.warm_up -= 1
            with aside(self.device):
                self.step(images, labels, rate)
        else:
            for place, value in zip(self.batch, (images, labels)):
                place.copy_(value)
            self.rate.fill_(rate)
            self.replay = self.replay or self._capture()
            if self.replay:
                self.replay()
            else:
                self.step(images, labels, rate)

    def _fits(self, *given: Tensor) -> bool:
        if not self.batch:
            self.batch = tuple(torch.empty_like(tensor) for tensor in given)
        pairs = zip(given, self.batch)
        return all(new.shape == old.shape and new.dtype == old.dtype for new, old in pairs)

    def _capture(self) -> Callable[[], object] | None:
        """None where it cannot be done: then weights, sums and random numbers are as before."""
        self.optimizer.zero_grad()  # backward makes new ones, at the places that the graph knows
        put_back, (images, labels) = self._kept(), self.batch
        before = sys.exc_info()[1]
        try:
            return capture(partial(self.step, images, labels, self.rate), self.device)
        except BaseException as error:
            put_back()
            while error.__context__ not in (None, before):  # the end of a capture adds its own
                error = error.__context__
            if not isinstance(error, Exception):
                raise error from None
            self.possible = False
            say(NOT_CAPTURED.format(str(error).partition("\n")[0] or repr(error)))
            return None

    def _kept(self) -> Callable[[], None]:
        """A function that puts back all that a step changes."""
        state = {key: dict(values) for key, values in self.optimizer.state.items()}
        held = [value for values in state.values() for value in values.values()]
        held += [*self.model.parameters(), *self.model.buffers(), *self.sums]
        tensors = [(each, each.detach().clone()) for each in held if isinstance(each, Tensor)]
        random = torch.get_rng_state()

        @torch.no_grad()
        def put_back() -> None:
            for tensor, value in tensors:
                tensor.copy_(value)
            self.optimizer.state.clear()
            self.optimizer.state.update(state)
            self.optimizer.zero_grad()
            torch.set_rng_state(random)

        return put_back


def may_be_captured(model: nn.Module, optimizer: torch.optim.Optimizer) -> bool:
    """Whether it is worth trying; says why not, unless the device has no graphs at all."""
    if not has_graphs(next(model.parameters()).device):
        return False
    why = ""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    if any(getattr(layer, kind) for layer in model.modules() for kind in kinds):
        why = "a layer has a hook, which is Python code"
    elif not all(group.get("fused") or group.get("capturable") for group in optimizer.param_groups):
        why = f"{type(optimizer).__name__} was not made with fused=True or capturable=True"
    if why:
        say(NOT_CAPTURED.format(why))
    return not why


@cache
def say(sentence: str) -> None:
    """Write it, once in a process."""
    tqdm.write(sentence)


# ---- What the device does -----------------------------------------------------------------------


def has_graphs(device: torch.device) -> bool:
    return device.type == "cuda"


def wait(device: torch.device) -> None:
    """Until the device has done all that it was told; only then does a clock say something."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


FREE: dict[torch.device, list["torch.cuda.Stream"]] = defaultdict(list)


def side_stream(device: torch.device) -> "torch.cuda.Stream":
    """A queue of its own: PyTorch captures in no other, and the first steps must be in it too.

    No graph that lives has the same one: with a graph goes memory that PyTorch has set aside for
    its stream, though another graph of that stream would still write there.
    """
    if not FREE[device]:
        FREE[device].append(torch.cuda.Stream(device))
    return FREE[device][0]


@contextmanager
def aside(device: torch.device) -> Iterator[None]:
    """What is launched within goes into the side stream, in its turn with all that is not."""
    side, usual = side_stream(device), torch.cuda.current_stream(device)
    side.wait_stream(usual)
    try:
        with torch.cuda.stream(side), warnings.catch_warnings():
            # Adam warns of steps that are not captured. These are the first, and one is next.
            warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
            yield
    finally:
        usual.wait_stream(side)


def capture(step: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """The function that replays the step, which is called once, but not computed.

    Raises whatever error it meets; the random generators go on as if nothing had been tried.
    Before PyTorch 2.14 a capture that fails keeps the memory that it had taken.
    """
    graph = torch.cuda.CUDAGraph()
    generators = [(each, each.clone_state()) for each in torch.cuda.default_generators]
    # "thread_local" lets other threads, such as a DataLoader's, do meanwhile what they do.
    mode, side = "thread_local", side_stream(device)
    try:
        with aside(device), torch.cuda.graph(graph, stream=side, capture_error_mode=mode):
            step()
    except BaseException:
        for generator, state in generators:  # else it still takes itself for captured
            generator.graphsafe_set_state(state)
        raise
    FREE[device].remove(side)
    weakref.finalize(graph, FREE[device].append, side)
    return graph.replay


def captured(run: Callable[[], object], device: torch.device) -> Callable[[], object]:
    """What replays `run`, after some runs of it; `run` itself where it cannot be captured."""
    if not has_graphs(device):
        return run
    for _ in range(WARM_UP):
        with aside(device):
            run()
    try:
        return capture(run, device)
    except RuntimeError:
        return run
