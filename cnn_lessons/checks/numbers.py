"""How an answer of one number, or of several, is looked at."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import islice

from cnn_lessons.checks.verdict import Wrong


def value_of(answer: object) -> float | None:
    """The answer as a plain number, also from a tensor or an array of one number, else None."""
    try:
        value = answer.item() if hasattr(answer, "item") else answer
        return None if isinstance(value, (str, bytes, bool)) else float(value)
    except Exception:
        return None


def shown(value: object) -> str:
    """A number as people write it, 1,887,440 or 0.2722; anything else in at most 60 signs."""
    number = value_of(value)
    if number is None:
        text = " ".join(repr(value).split())
        return text if len(text) <= 60 else f"{text[:59]}…"
    if number - number != 0:  # infinite, or not a number
        return str(number)
    if number == int(number):
        return f"{int(number):,}"
    return f"{number:,.2f}" if abs(number) >= 100 else f"{Decimal(f'{number:.4g}'):f}"


def near(value: float, other: float) -> bool:
    """Equal for whole numbers; within 1 % for others, so that a rounded answer is right."""
    return value == other or (other % 1 != 0 and abs(value - other) <= 0.01 * abs(other))


def number(answer: object, outcomes: Mapping[float, str], wrong: str = "", name: str = "") -> str:
    """What `outcomes` says of the number; Wrong unless it is the first of them, the right one."""
    before, value = f"{name}: " if name else "", value_of(answer)
    if value is None:
        raise Wrong(before + _no_number(answer))
    truth = next(iter(outcomes))
    if near(value, truth):
        return outcomes[truth]
    if value in {*(float(f"{truth:.{digits}g}") for digits in range(1, 7)), round(truth, 2)}:
        exact = "the exact number" if truth % 1 == 0 else "a digit or two more"
        wrong = f"Rounded it is that: give {exact}."
    hints = [hint for outcome, hint in outcomes.items() if near(value, outcome)]
    raise Wrong(before + (hints or [wrong or f"{shown(value)} is not it."])[0])


def _no_number(answer: object) -> str:
    if isinstance(answer, str):
        return "The answer is one number; that is text. Leave the quotes away."
    if str(getattr(answer, "dtype", type(answer).__name__)) in ("bool", "torch.bool"):
        return "The answer is one number, not a yes or no."
    if isinstance(answer, tuple) and all(type(part) is int for part in answer):
        return f"The answer is one number; a comma makes {len(answer)} of it: write 1516 or 1_516."
    if callable(answer):
        return "The answer is one number; that is a function. Call it, with its arguments."
    return f"The answer is one number; got {shown(answer)}."


def numbers(answer: object, names: Sequence[str]) -> list[float]:
    """The answer as so many numbers, from a list, a tensor or an array, or Wrong."""
    what = f"The answer is {len(names)} numbers, {', '.join(names)}"
    single = isinstance(answer, (str, set, Mapping)) or getattr(answer, "ndim", 1) == 0
    if single or not isinstance(answer, Iterable):
        raise Wrong(f"{what}; got {shown(answer)}.")
    given = [*islice(answer, 1000)]  # it may have no end
    if len(given) != len(names):
        raise Wrong(f"{what}; got {len(given)}: {shown(answer)}.")
    for name, each in zip(names, given):
        if each is None:
            raise Wrong(f"{name} is still empty.")
        if value_of(each) is None:
            raise Wrong(f"{name}: {_no_number(each)}")
    return [value_of(each) for each in given]


# What comes out of the formula of output sizes with a slip; n, k, s, p as the lessons call them.
SIZE_SLIPS = {
    "The formula ends with + 1: count the first place of the window too.":
        lambda n, k, s, p: (n + 2 * p - k) // s,
    "The padding is on both sides of the picture: add it twice.":
        lambda n, k, s, p: (n + p - k) // s + 1,
    "You left out the padding.": lambda n, k, s, p: (n - k) // s + 1,
    "You left out the stride: divide by it.": lambda n, k, s, p: n + 2 * p - k + 1,
    "Round down: a window that does not fit whole is not taken.":
        lambda n, k, s, p: -((k - n - 2 * p) // s) + 1,
    "You left out the kernel: subtract it.": lambda n, k, s, p: (n + 2 * p) // s + 1,
    "Add the 1 at the very end, after dividing by the stride.":
        lambda n, k, s, p: (n + 2 * p - k + 1) // s,
    "That is what comes in. The window makes it smaller.": lambda n, k, s, p: n,
}  # fmt: skip


def output_sizes(values: Sequence[float], settings: Sequence[tuple], names: Sequence[str]) -> None:
    """Raise Wrong unless each value is the size after its window, for settings (n, k, s, p)."""
    for name, value, (n, k, s, p) in zip(names, values, settings):
        if value == (n + 2 * p - k) // s + 1:
            continue
        where = f"{name}, with n={shown(n)}, k={k}, s={s}, p={p}"
        if value % 1:  # also where it is infinite or not a number
            raise Wrong(f"{where}: a number of pixels is whole. Round down.")
        # Of several slips with this result the one that explains most of the other answers too.
        hints = {
            hint: sum(slip(*each) == v for each, v in zip(settings, values))
            for hint, slip in SIZE_SLIPS.items()
            if slip(n, k, s, p) == value
        }
        nothing = f"{shown(value)} is not it. Subtract, divide, round down, add 1."
        raise Wrong(f"{where}: {max(hints, key=hints.get) if hints else nothing}")
