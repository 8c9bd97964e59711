"""How a learner's function is tried: called safely, and compared with the truth and with slips."""

import inspect
import io
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from cnn_lessons.checks.numbers import shown, value_of
from cnn_lessons.checks.verdict import Unfinished, Wrong, first_hint

NOT_THE_LEARNERS = (str(Path(__file__).parents[1]), str(Path(torch.__file__).parent))


class Watch(TorchFunctionMode):
    """Notes which torch functions are called, and the settings (share, active) of each dropout."""

    def __init__(self):
        super().__init__()
        self.names: set[str] = set()
        self.dropouts: list[tuple[float, bool]] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self.names.add(getattr(function, "__name__", ""))
        if function is F.dropout:
            settings = inspect.signature(F.dropout).bind(*args, **kwargs)
            settings.apply_defaults()
            self.dropouts.append((settings.arguments["p"], settings.arguments["training"]))
        return function(*args, **kwargs)


def call(
    function: object,
    *arguments: object,
    case: str = "",
    without: Mapping[str, str] | None = None,
    failures: Mapping[str, str] | None = None,
) -> object:
    """What a learner's function returns; Wrong where it fails, or changes what it is given.

    Tensors are passed as copies. `without` names torch functions that it must not use, `failures`
    has words of an error's message; both with the sentence for it.
    """
    if not callable(function):
        raise Wrong(f"Pass the function itself, without brackets; got {shown(function)}.")
    given, printed, watch = [_copy(a) for a in arguments], io.StringIO(), Watch()
    try:
        with redirect_stdout(printed), watch, torch.enable_grad():
            result = function(*given)
    except (Exception, SystemExit) as error:
        raise Wrong(_failure(error, case, failures or {})) from error
    finally:
        print(printed.getvalue(), end="")
    if used := watch.names & {*(without or {})}:
        raise Wrong(without[used.pop()])
    if not all(map(_is_unchanged, arguments, given)):
        raise Wrong("It changes what it is given, which others need. Work on a copy: x.clone().")
    if result is None and printed.getvalue():
        raise Wrong("It prints, and returns nothing. End it with return.")
    return result


def begun(*answers: object, what: str = "Your function") -> None:
    """Raise Unfinished where all answers are None."""
    if all(answer is None for answer in answers):
        raise Unfinished(f"{what} returns nothing yet.")


def built(make: object, *arguments: object, what: str = "class") -> nn.Module:
    """The module that a learner's class or function makes of the arguments, or Wrong."""
    if isinstance(make, nn.Module):
        made = type(make).__name__
        raise Wrong(f"Pass the {what} itself, without brackets; that is a finished {made}.")
    case = f"{getattr(make, '__name__', 'it')}({', '.join(map(repr, arguments))})"
    first = "__init__ begins with super().__init__()."
    module = call(make, *arguments, case=case, failures={"Module.__init__() call": first})
    if what == "function":
        begun(module)
    if not isinstance(module, nn.Module):
        hint = f" That is a class: {module.__name__}()." if isinstance(module, type) else ""
        raise Wrong(f"{case} must give an nn.Module; got {shown(module)}.{hint}")
    if "_modules" not in vars(module):
        raise Wrong(first)
    return module


def _copy(argument: object) -> object:
    if isinstance(argument, list):
        return [_copy(each) for each in argument]
    return argument.clone() if isinstance(argument, Tensor) else argument


def _is_unchanged(before: object, after: object) -> bool:
    if isinstance(before, list):
        return len(before) == len(after) and all(map(_is_unchanged, before, after))
    return not isinstance(before, Tensor) or torch.equal(before, after)


def _failure(error: BaseException, case: str, failures: Mapping[str, str]) -> str:
    """Where in the learner's code it failed, and how."""
    hint = next((f" {hint}" for words, hint in failures.items() if words in str(error)), "")
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.line for f in frames if f.line and not f.filename.startswith(NOT_THE_LEARNERS)]
    where = (f" for {case}" if case else "") + (f", at `{lines[-1][:80]}`" if lines else "")
    message = [type(error).__name__, *str(error).splitlines()][:2]
    return f"It failed{where}: {': '.join(message)[:200].rstrip('.')}.{hint}"


# What goes wrong in a training step that is written by hand.
STEP_FAILURES = {
    "leaf Variable": "Weights that learn are changed under `with torch.no_grad():`.",
    "cannot assign": "Change the weight itself, with -=; it cannot be replaced by a new tensor.",
    "NoneType": "There is no gradient yet: loss.backward() comes before the step, and what sets "
    "gradients to 0 after it.",
    "scalar outputs": "The loss is one number: take the mean.",
    "does not require grad": "The loss must come out of the network, not from detached numbers.",
}


def tensor_of(answer: object) -> Tensor:
    """The numbers of an answer, also of a list, an array or a list of tensors, or Wrong."""
    try:
        if isinstance(answer, (list, tuple)):
            return torch.stack([tensor_of(each) for each in answer])
        plain = float(answer) if isinstance(answer, (Fraction, Decimal)) else answer
        numbers = torch.as_tensor(plain).detach().to_dense().cpu()
    except Exception:
        what = f"{type(answer).__name__}: {shown(answer)}"
        raise Wrong(f"It must return a tensor of numbers; got {what}.") from None
    if numbers.is_complex():
        raise Wrong(f"Its numbers are complex; got {shown(answer)}. Return real ones.")
    return numbers


def same(mine: Tensor, truth: Tensor) -> bool:
    """Of one shape, and equal as far as float32 can tell, whatever the dtype."""
    if mine.shape != truth.shape or mine.is_complex() or not truth.isfinite().all():
        return False
    mine, truth = mine.detach().double(), truth.detach().double()
    scale = float(truth.abs().max()) if truth.numel() else 0.0
    return torch.allclose(mine, truth, rtol=1e-3, atol=1e-4 * scale)


def tried(
    function: object, cases: Sequence[tuple], truth: Callable, slips: Mapping[str, Callable], **how
) -> str:
    """Call a learner's function for every case, and raise Wrong unless it gives what `truth` does.

    `slips` has for each hint a function that makes the mistake: the hint is given where its numbers
    are the learner's in all cases. `how` is for `call`. Returns a note where right answers came in
    another form than tensors or numbers.
    """
    names = [*inspect.signature(truth).parameters]
    answers, failed = [], None
    for case in cases:
        try:
            answers.append(call(function, *case, case=_told(names, case), **how))
        except Wrong as wrong:
            failed = wrong
            break
    if failed is None:
        begun(*answers)
    cases = cases[: len(answers)]
    mine, wanted = [], [tensor_of(truth(*case)) for case in cases]
    for case, answer, want in zip(cases, answers, wanted):
        if answer is None:
            raise Wrong(f"It returns nothing for {_told(names, case)}: has every way its return?")
        got = tensor_of(answer)
        mine.append(got.reshape(want.shape) if got.numel() == want.numel() == 1 else got)
    for case, got, want in zip(cases, mine, wanted):
        if not same(got, want):
            hint = _hint(mine, wanted, cases, slips) or _difference(got, want)
            raise Wrong(f"{hint} (Seen with {_told(names, case)}.)")
    if failed is not None:
        raise failed
    kind = type(answers[0]).__name__
    usual = isinstance(answers[0], Tensor) or mine[0].dim() == 0
    return "" if usual else f" (It came as {kind}; torch.stack or torch.as_tensor gives a tensor.)"


def stepped(
    function: object,
    fresh: Callable[[], tuple],
    truth: Callable,
    slips: Mapping[str, Callable],
    failures: Mapping[str, str],
) -> None:
    """Let a learner's training step run twice; Wrong unless it moves the weights as `truth` does.

    `fresh` draws the arguments of the step, the network first; they are the same each time, from
    one seed. `slips` has for each hint a step with that mistake. The learner's step must return the
    loss that `truth` has.
    """

    def learners(*given: object) -> object:
        return call(function, *given, failures=failures)

    still, _ = _two_steps(lambda *arguments: None, fresh)
    moved, losses = _two_steps(learners, fresh)
    if torch.equal(moved, still) and losses == [None, None]:
        raise Unfinished("Your step does nothing yet.")
    wanted, right = _two_steps(truth, fresh)
    if not same(moved - still, wanted - still):
        other = "The weights move, but not to where the loss gets smaller so."
        raise Wrong(first_hint(
            slips, lambda slip: same(moved - still, _two_steps(slip, fresh)[0] - still), other
        ))  # fmt: skip
    if not same(_two_steps(learners, fresh)[0], moved):
        raise Wrong("A second network moves otherwise: something outside of the step is kept.")
    values = [value_of(loss) for loss in losses]
    if None in values:
        raise Wrong("The weights move as they should. Now return the loss: loss.item().")
    if not torch.allclose(torch.tensor(values), torch.tensor(right), rtol=1e-3):
        raise Wrong("The weights move as they should. The loss to return is the one before that.")


def _two_steps(step: Callable, fresh: Callable[[], tuple]) -> tuple[Tensor, list]:
    """All weights after one step and after two, and what the steps returned."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        arguments, weights, returned = fresh(), [], []
    for _ in range(2):
        returned.append(step(*arguments))
        weights.append(nn.utils.parameters_to_vector(arguments[0].parameters()).detach().clone())
    return torch.stack(weights), returned


def _told(names: Sequence[str], case: tuple) -> str:
    """A case in words: shapes of tensors, and numbers."""

    def words(value: object) -> str:
        if isinstance(value, list):
            return f"{len(value)} × {words(value[0])}"
        return str([*value.shape]) if isinstance(value, Tensor) else shown(value)

    return ", ".join(f"{name} {words(value)}" for name, value in zip(names, case))


def _hint(mine: list[Tensor], wanted: list[Tensor], cases: Sequence[tuple], slips) -> str:
    """The sentence for a mistake that is recognised in all cases, or nothing."""

    def fits(slip: Callable) -> bool:
        return all(same(got, tensor_of(slip(*case))) for got, case in zip(mine, cases))

    if hint := first_hint(slips, fits, ""):
        return hint
    pairs = [(got.double(), want.double()) for got, want in zip(mine, wanted)]
    if any(got.shape != want.shape for got, want in pairs):
        return ""
    if mine[0].dtype == torch.bool:
        return "It returns yes or no. Return the number itself."
    if all(torch.equal(got, want.trunc()) for got, want in pairs):
        return "It returns whole numbers: what stands behind the point is lost."
    if any(all(same(g, w.round(decimals=digits)) for g, w in pairs) for digits in range(5)):
        return "It rounds the result, and what is small is lost. Return it as it is."
    return ""


def _difference(mine: Tensor, truth: Tensor) -> str:
    """What is different, where no mistake was recognised."""
    if mine.shape != truth.shape:
        alike = mine.squeeze().shape == truth.squeeze().shape
        extra = " Leave the axis of one out." if alike and mine.dim() > truth.dim() else ""
        axis = " An axis is missing." if mine.dim() < truth.dim() else extra
        return f"It gives {[*mine.shape]} in place of {[*truth.shape]}.{axis}"
    mine, truth = mine.double(), truth.double()
    worst = (mine - truth).abs().flatten().argmax()
    got, want = mine.flatten()[worst], truth.flatten()[worst]
    if mine.dim() and got and want and same(mine, truth * (got / want)):
        return f"All numbers are {shown(got / want)} times what they should be."
    place = f" at {[int(k) for k in torch.unravel_index(worst, mine.shape)]}" if mine.dim() else ""
    return f"It gives {shown(got)}{place}; {shown(want)} is right."
