"""How a learner's network is looked at, and compared with a reference."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import zip_longest

import torch
from torch import Tensor, nn
from torch.func import functional_call

from cnn_lessons.checks.functions import Watch, same
from cnn_lessons.checks.numbers import shown
from cnn_lessons.checks.verdict import Wrong, check
from cnn_lessons.shapes import Record, Row, ShapeError, record
from cnn_lessons.shapes.rows import short
from cnn_lessons.training.state import kept

# Kinds of steps, as `plain` names them.
SOFTMAX = {"softmax", "logsoftmax", "softmax2d"}
ACTIVATIONS = {"relu", "relu6", "leakyrelu", "elu", "gelu", "silu", "sigmoid", "tanh"}


def plain(kind: str) -> str:
    """One word for a module and its function: "MaxPool2d" and "max_pool2d"."""
    return kind.lower().replace("_", "")


def network(model: object, name: str, *sizes: tuple[int, int, int], classes: int = 10) -> Record:
    """The record of a learner's network for the first size; Wrong unless it gives logits."""
    if isinstance(model, type):
        raise Wrong(f"That is a class. Make a network of it: {model.__name__}().")
    if not isinstance(model, nn.Module):
        raise Wrong(f"{name} must be a network (nn.Module); got {shown(model)}.")
    records = []
    for size in sizes:
        try:
            if any(map(nn.parameter.is_lazy, model.parameters())):
                model(torch.zeros(2, *size))  # lazy layers get their sizes
            records.append(record(model, size))
        except ShapeError as error:
            before = f"It runs on {_times(sizes[0])}, but not" if records else "It does not run"
            raise Wrong(f"{before} on {_times(size)}.\n{error}") from None
        except ValueError as error:
            raise Wrong(f"It cannot be looked into: {error}") from None
        except (Exception, SystemExit) as error:
            what = f"{type(error).__name__}: {error}"
            raise Wrong(f"It does not run on {_times(size)}. {what}") from error
        if problem := _not_logits(records[-1], classes):
            raise Wrong(problem)
    return records[0]


def bent(table: Record, first: int, last: int) -> bool:
    """Whether an activation runs between two rows."""
    return any(plain(row.kind) in ACTIVATIONS for row in table[first:last])


def enlarges(table: Record) -> bool:
    """Whether a step makes the pictures larger."""
    return any(plain(row.kind).startswith(("upsampl", "interpolate")) for row in table)


def _times(size: tuple[int, int, int]) -> str:
    return " × ".join(map(str, size))


def _not_logits(table: Record, classes: int) -> str:
    if not table.rows:
        return "Its output does not depend on the picture."
    output, kind = table[-1].output, table[-1].kind
    if len(output) == 4 and output[1] == classes:
        return (
            f"It gives maps of {output[2]}×{output[3]}, a score for each place. Average them: "
            "nn.AdaptiveAvgPool2d(1), then nn.Flatten()."
        )
    if len(output) == 4:
        return "It ends with maps. After them: nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear."
    if output[1:] == (1000,) and classes == 10:
        return "It gives 1,000 logits, as for ImageNet. Here there are ten classes: [N, 10]."
    if output != (table.batch, classes):
        shape = ", ".join(str(n) for n in ("N", *output[1:]))
        return f"It runs, but gives [{shape}] and not [N, {classes}]."
    if SOFTMAX & {plain(row.kind) for row in table if row.output == output}:
        return "It ends with a softmax. The loss has one of its own and wants logits: leave it out."
    if plain(kind) in ACTIVATIONS:
        return f"Its last step is {kind}: logits must be free to be of any size. Leave it out."
    return ""


@contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """In evaluation mode and without gradients; afterwards the modes are as they were."""
    with torch.no_grad(), ExitStack() as stack:
        for model in models:
            stack.enter_context(kept(model))
            model.eval()
        yield


def dropouts(model: nn.Module, size: tuple[int, int, int]) -> list[float]:
    """The share of each dropout that runs, nn.Dropout and F.dropout alike, in their order."""
    like = next(model.parameters(), torch.empty(0))
    with evaluating(model), Watch() as watch:
        model(torch.zeros(2, *size, device=like.device))
    if any(active for _, active in watch.dropouts):
        raise Wrong("F.dropout also drops in evaluation mode, unless you give it self.training.")
    return [share for share, _ in watch.dropouts]


@check("Build your network and pass it to the check.")
def check_same_function(mine: nn.Module, reference: nn.Module, images: Tensor) -> str:
    """Give both networks the same weights, in order, and compare what both make of `images`.

    This is how a network typed in a notebook is proved to be the one in the package. The weights
    are random, and such that every layer shows in the output; afterwards both have their own again.
    `images` must fit both. Of a wrong network the first step that differs is named.
    """
    return same_function(mine, reference, images)


def same_function(mine: nn.Module, reference: nn.Module, images: Tensor) -> str:
    """What check_same_function does, for other checks."""
    if not isinstance(mine, nn.Module):
        raise Wrong(f"Yours must be a network (nn.Module); got {shown(mine)}.")
    own, theirs = mine.state_dict(), reference.state_dict()
    if Counter(map(_shape, own.values())) != Counter(map(_shape, theirs.values())):
        raise Wrong(_other_weights(own, theirs))
    found = []
    with evaluating(mine, reference):
        try:
            for names in _orders(mine, reference, images):
                if any(own[a].shape != theirs[b].shape for a, b in zip(*names)):
                    continue
                values = [strong(name, theirs[name]) for name in names[1]]
                states = [dict(zip(each, values)) for each in names]
                found.append(_difference(mine, reference, states, images))
                if not found[-1]:
                    return f"Same weights, same outputs, for {len(images)} pictures."
        except (Exception, SystemExit) as error:
            raise Wrong(f"Your network failed: {type(error).__name__}: {error}") from error
    other_order = "The weights fit, but not in this order: create the layers as they run."
    raise Wrong((found or [other_order])[0])


def _orders(mine: nn.Module, reference: nn.Module, images: Tensor) -> Iterator[tuple]:
    """The names of the weights of both, in the order of their creation, then as they run."""
    created = [*mine.state_dict()], [*reference.state_dict()]
    yield created
    running = _as_they_run(mine, images), _as_they_run(reference, images)
    if running != created:
        yield running


def _difference(mine: nn.Module, reference: nn.Module, states: list, images: Tensor) -> str:
    """What both networks give with these weights, in words; nothing where it is the same."""
    runs = [
        lambda pictures, net=net, state=state: functional_call(net, state, (pictures,))
        for net, state in zip((mine, reference), states)
    ]
    given = images.clone()
    answer, wanted = runs[0](given), runs[1](images)
    if not torch.equal(given, images):
        return "It changes what it is given, which others need. Work on a copy: x.clone()."
    if not isinstance(answer, Tensor):
        return f"Your network gives a {type(answer).__name__}; one tensor is wanted."
    if same(answer, wanted):
        return ""
    steps = [record(net, images, run, keep=True) for net, run in zip((mine, reference), runs)]
    return f"Same weights, other outputs. {_first_other_step(*steps, images[:1])}"


def _as_they_run(net: nn.Module, images: Tensor) -> list[str]:
    """The names of a network's weights, in the order in which their modules run."""
    order: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, given, name=name: order.append(name))
        for name, module in net.named_modules()
    ]
    net(images.clone())
    for hook in hooks:
        hook.remove()
    place = {name: k for k, name in enumerate(dict.fromkeys(order))}
    return sorted(net.state_dict(), key=lambda name: place.get(name.rpartition(".")[0], len(order)))


def strong(name: str, weight: Tensor) -> Tensor:
    """Random values in place of a weight, so large that no signal dies on its way.

    With PyTorch's own start a deep network gives nearly the same logits for every picture, and two
    different networks would look equal.
    """
    if not weight.is_floating_point():
        return torch.zeros(weight.shape, dtype=weight.dtype)
    if weight.dim() > 1:
        bound = (6 / weight[0].numel()) ** 0.5  # He's start
        return torch.empty(weight.shape).uniform_(-bound, bound)
    middle = 0.0 if name.endswith(("bias", "running_mean")) else 1.0
    return torch.empty(weight.shape).uniform_(middle - 0.5, middle + 0.5)


def _shape(weight: Tensor) -> tuple[int, ...]:
    return tuple(weight.shape)


def _other_weights(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    """Which weight is the first that the other network does not have at this place."""
    names = [[f"{name} {[*weight.shape]}" for name, weight in s.items()] for s in (own, theirs)]
    shapes = zip_longest(map(_shape, own.values()), map(_shape, theirs.values()))
    k = next(k for k, (a, b) in enumerate(shapes) if a != b)
    mine, other = (each[k] if k < len(each) else "nothing more" for each in names)
    counts = f"Yours has {len(own)} weight tensors, the reference {len(theirs)}. "
    first = f"The first that differs: yours has {mine}, the reference {other}."
    return (counts if len(own) != len(theirs) else "") + first


def _first_other_step(mine: Record, theirs: Record, picture: Tensor) -> str:
    """Up to where two networks agree, by what each step gives, and how each of them goes on."""
    values, others = ({-1: picture, **dict(enumerate(r.outputs))} for r in (mine, theirs))
    agrees = {}  # the number of my step: that of theirs
    for k, value in values.items():
        found = [j for j, other in others.items() if same(value.flatten(), other.flatten())]
        agrees |= {k: found[-1]} if found else {}
    healed = set()  # steps in another order, after which the two agree again
    for k in reversed(range(len(mine))):
        if k in agrees or k in healed:
            healed |= {source for source in mine[k].sources if source not in agrees}
    fine = {*agrees, *healed}
    first = next(
        (k for k, row in enumerate(mine) if k not in fine and fine >= {*row.sources}), None
    )
    if first is None:
        last = agrees.get(len(mine) - 1)
        missing = [row for k, row in enumerate(theirs) if last in row.sources and k != last]
        return f"Your last step is right, but then comes {_step(missing[0])}." if missing else ""
    before = mine[first].sources[-1]
    met, after = {*agrees.values()}, agrees.get(before)
    other = [r for j, r in enumerate(theirs) if j not in met and after in r.sources]
    name = "the picture" if before < 0 else f"{mine[before].name} ({mine[before].kind})"
    text = f"Up to {name} they agree; then yours has {_step(mine[first])}"
    alike = other and _step(other[0]) == _step(mine[first])
    setting = " with another setting, or its inputs in another order" if alike else ""
    return f"{text}, the reference {_step(other[0])}{setting}." if other else f"{text}."


def _step(row: Row) -> str:
    if not row.window:
        return f"{row.name} ({row.kind})"
    kernel, stride, padding = map(short, row.window[:3])
    return f"{row.name} ({row.kind}, kernel {kernel}, stride {stride}, padding {padding})"
