"""The checks of lesson 06: right answers pass, usual slips are named, nothing stops a notebook."""

import json

import pytest
import torch
from torch import nn

from cnn_lessons import checks
from cnn_lessons.checks import compare
from cnn_lessons.models import VGG, LeNet5, ResNetCIFAR
from cnn_lessons.shapes import record
from tests.networks import CASES, build_on_meta


def test_the_numbers_of_the_exercises_are_those_of_the_networks():
    table = record(build_on_meta("vgg_d"), CASES["vgg_d"].size)
    linear = [row for row in table if row.kind == "Linear"]
    counts = tuple(sum(getattr(row, what) for row in linear) for what in ("parameters", "macs"))
    assert counts == compare.VGG16_LINEAR and (table.parameters, table.macs) == compare.VGG16_ALL
    with torch.device("meta"):
        macs = record(ResNetCIFAR(20), (3, 224, 224)).macs
    assert checks.check_cost_at_224(macs).passed is True


SHARES = [part / whole for part, whole in zip(compare.VGG16_LINEAR, compare.VGG16_ALL)]


@pytest.mark.parametrize("answer", [SHARES, (0.894, 0.008), torch.tensor(SHARES)])
def test_head_shares(answer):
    assert checks.check_head_shares(answer).passed is True


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (SHARES[::-1], "swapped"),
        ((89.4, 0.799), "per cent"),
        ((1 - SHARES[0], 1 - SHARES[1]), "convolutions"),
        (compare.VGG16_LINEAR, "counts"),
        ((SHARES[0], SHARES[0]), "row.macs"),
        ((compare.VGG16_LINEAR[0] / compare.VGG16_ALL[1], SHARES[1]), "parameters divided by MACs"),
        ((0.5, 0.5), "kind"),
        (0.9, "two numbers"),
        ((0.9,), "two numbers"),
        (("a", "b"), "two numbers"),
    ],
)
def test_head_shares_names_the_slip(answer, hint):
    verdict = checks.check_head_shares(answer)
    assert verdict.passed is False and hint in verdict.text


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (49 * 40_551_040, "640 MACs stay"),
        (7 * 40_551_040, "7 times as high"),
        (7 * 40_550_400 + 640, "7 times as high"),
        (40_551_040, "more places"),
        (49, "factor"),
        (269_722, "parameters"),
        (1, "linear layer does not"),
        ("many", "one number"),
    ],
)
def test_cost_at_224_names_the_slip(answer, hint):
    verdict = checks.check_cost_at_224(answer)
    assert verdict.passed is False and hint in verdict.text


FUNCTIONS = {
    checks.check_minutes: lambda n, e, s: n * e / s / 60,
    checks.check_standard_error: lambda p, n: (p * (1 - p) / n) ** 0.5,
    checks.check_more_than_chance: lambda a, b: (only(a, b) - only(b, a)) / apart(a, b) ** 0.5,
}


def only(a, b):
    return int((a & ~b).sum())


def apart(a, b):
    return int((a ^ b).sum())


def mean(a):
    return float(a.float().mean())


def unpaired(a, b):
    variance = sum(mean(x) * (1 - mean(x)) / len(x) for x in (a, b))
    return (mean(a) - mean(b)) / variance**0.5


@pytest.mark.parametrize("check", FUNCTIONS)
def test_functions(check):
    assert check(FUNCTIONS[check]).passed is True
    assert check(None).passed is None
    assert check(lambda *given: None).passed is None
    assert "ZeroDivisionError" in check(lambda *given: 1 / 0).text
    assert "one number" in check(lambda *given: "many").text
    assert "one number" in check(lambda *given: float("nan")).text
    assert "TypeError" in check(lambda: 1).text
    assert "is not it" in check(lambda *given: 123.0).text


@pytest.mark.parametrize(
    ("check", "slip", "hint"),
    [
        (checks.check_minutes, lambda n, e, s: n * e / s, "seconds"),
        (checks.check_minutes, lambda n, e, s: n * e / s / 3600, "hours"),
        (checks.check_minutes, lambda n, e, s: n / s / 60, "one epoch"),
        (checks.check_minutes, lambda n, e, s: n * e * s / 60, "divide"),
        (checks.check_minutes, lambda n, e, s: s / (n * e) / 60, "Upside down"),
        (checks.check_minutes, lambda n, e, s: n * e / s * 60, "divide by 60"),
        (checks.check_standard_error, lambda p, n: p * (1 - p) / n, "variance"),
        (checks.check_standard_error, lambda p, n: (p * (1 - p)) ** 0.5, "one picture"),
        (checks.check_standard_error, lambda p, n: (p * (1 - p)) ** 0.5 / n, "root of n"),
        (checks.check_standard_error, lambda p, n: (p / n) ** 0.5, "always right"),
        (checks.check_standard_error, lambda p, n: 100 * (p * (1 - p) / n) ** 0.5, "per cent"),
        (checks.check_standard_error, lambda p, n: 2 * (p * (1 - p) / n) ** 0.5, "Give one"),
        (checks.check_standard_error, lambda p, n: (n * p * (1 - p)) ** 0.5, "counts pictures"),
        (checks.check_more_than_chance, lambda a, b: only(a, b) - only(b, a), "b − c"),
        (
            checks.check_more_than_chance,
            lambda a, b: (only(b, a) - only(a, b)) / apart(a, b) ** 0.5,
            "sign",
        ),
        (
            checks.check_more_than_chance,
            lambda a, b: abs(only(b, a) - only(a, b)) / apart(a, b) ** 0.5,
            "Keep the sign",
        ),
        (
            checks.check_more_than_chance,
            lambda a, b: (only(b, a) - only(a, b)) ** 2 / apart(a, b),
            "chi²",
        ),
        (
            checks.check_more_than_chance,
            lambda a, b: (only(a, b) - only(b, a)) / apart(a, b),
            "square root of b + c",
        ),
        (
            checks.check_more_than_chance,
            lambda a, b: int(a.sum() - b.sum()) / int(a.sum() + b.sum()) ** 0.5,
            "both get right",
        ),
        (checks.check_more_than_chance, unpaired, "pair them"),
    ],
)
def test_functions_name_the_slip(check, slip, hint):
    verdict = check(slip)
    assert verdict.passed is False and hint in verdict.text


def stacked(logits):
    return torch.stack(list(logits))


def test_ensemble():
    right = checks.check_ensemble(lambda z: stacked(z).softmax(dim=2).mean(dim=0).argmax(dim=1))
    assert right.passed is True
    assert checks.check_ensemble(
        lambda z: stacked(z).softmax(dim=2).sum(dim=0).argmax(dim=1).tolist()
    ).passed
    assert checks.check_ensemble(None).passed is None
    assert checks.check_ensemble(lambda z: None).passed is None


@pytest.mark.parametrize(
    ("slip", "hint"),
    [
        (lambda z: stacked(z).mean(dim=0).argmax(dim=1), "Softmax first"),
        (lambda z: stacked(z).argmax(dim=2).mode(dim=0).values, "votes"),
        (lambda z: stacked(z).softmax(dim=1).mean(dim=0).argmax(dim=1), "pictures compete"),
        (lambda z: stacked(z).softmax(dim=2).amax(dim=0).argmax(dim=1), "not the mean"),
        (lambda z: z[1].argmax(dim=1), "network 1 alone"),
        (lambda z: stacked(z).softmax(dim=2).mean(dim=0), "argmax(dim=1)"),
        (lambda z: stacked(z).softmax(dim=2).mean(dim=0).argmax(dim=0), "over dim=0"),
        (lambda z: 3, "one number a picture"),
        (lambda z: "cat", "class number"),
        (lambda z: torch.zeros(400), "of the 400 answers"),
        (lambda z: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_ensemble_names_the_slip(slip, hint):
    verdict = checks.check_ensemble(slip)
    assert verdict.passed is False and hint in verdict.text


# --- the budget ---------------------------------------------------------------------------------


def net(*ends, width=8):
    return nn.Sequential(nn.Conv2d(3, width, 3, padding=1), *ends)


POOLED = (nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_a_network_within_the_budget():
    verdict = checks.check_budget(ResNetCIFAR(20))
    assert verdict.passed is True
    assert verdict.text == "269,722 of 300,000 parameters, 40,551,040 of 50,000,000 MACs."
    assert checks.check_budget(None).passed is None
    assert checks.check_budget(LeNet5()).passed is True


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        (LeNet5, "LeNet5()"),
        ("LeNet5", "nn.Module"),
        (nn.Sequential(nn.Linear(7, 10)), "does not run"),
        (nn.LazyLinear(10), "cannot be counted"),
        (nn.Sequential(), "ends with maps"),
        (net(*POOLED, nn.Linear(8, 100)), "[N, 100]"),
        (net(*POOLED, nn.Linear(8, 1000)), "ImageNet"),
        (net(), "ends with maps"),
        (nn.Conv2d(3, 10, 3), "a score for each place"),
        (net(*POOLED, nn.Linear(8, 10), nn.Softmax(dim=1)), "softmax"),
        (net(*POOLED, nn.Linear(8, 10), nn.LogSoftmax(dim=1)), "softmax"),
        (net(*POOLED, nn.Linear(8, 10), nn.ReLU()), "ReLU"),
        (nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(10)), "no parameters"),
        (net(nn.Flatten(), nn.Linear(8 * 32 * 32, 10 * 10), nn.Linear(100, 10)), "Average each"),
        (net(nn.Conv2d(99, 64, 3), *POOLED, nn.Linear(64, 10), width=99), "halve earlier"),
    ],
)
def test_the_budget_names_what_is_wrong(model, hint):
    verdict = checks.check_budget(model)
    assert verdict.passed is False and hint in verdict.text


def test_the_budget_says_by_how_much_and_where():
    with torch.device("meta"):
        text = checks.check_budget(VGG("D", num_classes=10, input_size=32)).text
    assert "33,638,218 parameters are 33,338,218 too many (112.1 times" in text
    assert "classifier.fc7 (Linear): 16,781,312, 50%" in text
    assert "332,111,872 MACs are 282,111,872 too many (6.6 times" in text


def test_layers_that_do_not_run_are_counted():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = net(*POOLED, nn.Linear(8, 10)), nn.Linear(1000, 1000)

        def forward(self, images):
            return self.used(images)

    assert "did not run" in checks.check_budget(Idle()).text


def test_dead_weights_are_mentioned():
    small = net(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 10, 3, padding=1), nn.Flatten())
    verdict = checks.check_budget(small)
    assert verdict.passed is True and "640 weights never meet a pixel" in verdict.text


# --- the leaderboard ----------------------------------------------------------------------------


def test_a_board_is_written_and_read_again(tmp_path):
    path = tmp_path / "board.json"
    references = len(checks.leaderboard(path))
    assert not path.exists(), "looking writes nothing"
    board = checks.enter("mine", ResNetCIFAR(20), 0.99, path)
    assert board[0] == {"name": "mine", "accuracy": 0.99, "parameters": 269_722, "macs": 40_551_040}
    assert "mine" in repr(board) and "99.0%" in repr(board)
    checks.enter("mine", ResNetCIFAR(20), torch.tensor(0.5), path)
    checks.enter("other", LeNet5(), 0.7, path)
    entries = json.loads(path.read_text())
    assert [(entry["name"], entry["accuracy"]) for entry in entries] == [
        ("mine", 0.5),
        ("other", 0.7),
    ]
    assert len(checks.leaderboard(path)) == references + 2
    assert list(tmp_path.iterdir()) == [path]


def test_a_board_refuses_what_is_no_entry(tmp_path):
    path = tmp_path / "board.json"
    with torch.device("meta"):
        large = VGG("A", num_classes=10, input_size=32)
    assert checks.enter("large", large, 0.9, path).passed is False
    assert "from 0 to 1" in checks.enter("mine", LeNet5(), 68.5, path).text
    assert checks.enter("none", None, 0.5, path).passed is None
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "no JSON", "{}", '[1, {"name": 3}]', "[]"])
def test_a_file_of_another_kind_is_left_alone(tmp_path, content):
    path = tmp_path / "board.json"
    path.write_text(content)
    assert list(checks.leaderboard(path)) == list(checks.leaderboard(tmp_path / "none.json"))
    assert "no leaderboard" in checks.enter("mine", LeNet5(), 0.7, path).text
    assert path.read_text() == content


def test_the_references_keep_the_budget_and_stand_in_order():
    board = checks.leaderboard("no such file")
    accuracies = [entry["accuracy"] for entry in board]
    assert accuracies == sorted(accuracies, reverse=True)
    for entry in board:
        assert entry["parameters"] <= 300_000 and entry["macs"] <= 50_000_000


def test_an_output_that_ignores_the_picture():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(10, 10)

        def forward(self, images):
            return torch.zeros(len(images), 10)

    assert "does not depend" in checks.check_budget(Constant()).text
