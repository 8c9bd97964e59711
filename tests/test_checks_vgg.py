"""The checks of lesson 03: right answers pass, usual slips are named, nothing stops a notebook."""

from functools import partial
from itertools import pairwise
from math import sqrt

import pytest
import torch
from torch import nn

from cnn_lessons import checks
from cnn_lessons.checks.vgg import COLUMN_E, FAULTS
from cnn_lessons.models import VGG, starts, vgg
from cnn_lessons.see import probes
from cnn_lessons.shapes import record


@pytest.mark.parametrize(
    ("check", "right", "slips"),
    [
        (
            checks.check_fc6_weights,
            102_764_544,
            {
                102_760_448: "bias",
                2_101_248: "32 pixels",
                411_045_888: "14×14",
                2_097_152: "without its biases",
                25_088: "goes in",
                102_785_536: "each input",
                7: "is not",
            },
        ),
        (
            checks.check_stack_weights,
            184_320,
            {
                495_616: "one layer of 11×11",
                11 * 36_864: "23×23",
                6 * 36_864: "13×13",
                4 * 36_864: "9×9",
                3 * 36_864: "7×7",
                45: "one map",
                2_880: "64 kernels",
                184_640: "biases",
                36_864: "it sees 3×3",
            },
        ),
        (
            checks.check_he_std,
            sqrt(2 / 27),
            {
                sqrt(2 / 576): "fan_out",
                sqrt(1 / 27): "2 is missing",
                2 / 27: "variance",
                sqrt(1 / 81): "PyTorch's own",
                sqrt(2 / 603): "Glorot",
                sqrt(2 / 9): "3 maps",
                sqrt(2 / 3): "27",
                5: "Count the products",
            },
        ),
    ],
)
def test_numbers(check, right, slips):
    assert check(right).passed is True
    assert check(torch.tensor(right)).passed is True
    assert check(None).passed is None
    assert "one number" in check("many").text
    assert "one number" in check([1, 2]).text
    for answer, hint in slips.items():
        verdict = check(answer)
        assert verdict.passed is False and hint in verdict.text, answer


def test_the_numbers_are_those_of_the_networks():
    with torch.device("meta"):
        original = VGG("D")
        stack = nn.Sequential(*[nn.Conv2d(64, 64, 3, padding=1, bias=False) for _ in range(5)])
        seen = record(stack, (64, 32, 32))
    assert sum(p.numel() for p in original.classifier.fc6.parameters()) == 102_764_544
    assert seen[-1].receptive_field == (11, 11) and seen.parameters == 184_320
    torch.manual_seed(0)
    net = VGG("D", 10, 32)
    starts.he(net)
    assert net.features.conv1_1.weight.std().item() == pytest.approx(sqrt(2 / 27), rel=0.05)


def test_column_e():
    words = [
        "M" if word == "M" else str(word[1]) for block in vgg.TABLE_1["E"] for word in [*block, "M"]
    ]
    assert " ".join(words) == COLUMN_E
    assert checks.check_column_e(COLUMN_E).passed is True
    assert checks.check_column_e(COLUMN_E.replace(" M ", "  M\n")).passed is True
    assert checks.check_column_e(None).passed is None


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (19, "a string"),
        ([64, "M"], "a string"),
        ("", "0 pools"),
        ("64, 64, M", "neither M nor"),
        ("conv3-64 M", "neither M nor"),
        (COLUMN_E[:-2], "end with M"),
        ("64 64 M 128 128 M", "2 pools"),
        ("64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M", "That is column D"),
        ("64 M 128 M 256 256 M 512 512 M 512 512 M", "Block 1 of yours has 1"),
        (COLUMN_E.replace("128 128", "96 96"), "Block 2 has 128 maps"),
        (COLUMN_E.replace("M 128", "M M 128"), "6 pools"),
    ],
)
def test_column_e_names_the_slip(answer, hint):
    verdict = checks.check_column_e(answer)
    assert verdict.passed is False and hint in verdict.text


def pooled(*head, batch_norm=False):
    features = VGG("D", 10, 32, batch_norm=batch_norm).features
    return nn.Sequential(features, *head)


with torch.device("meta"):
    HEAD = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_global_pooling(batch_norm):
    with torch.device("meta"):
        assert checks.check_global_pooling(pooled(*HEAD, batch_norm=batch_norm)).passed is True
    assert checks.check_global_pooling(None).passed is None


@pytest.mark.parametrize(
    ("build", "hint"),
    [
        (lambda: nn.Linear, "must be a network"),
        (lambda: "a network", "must be a network"),
        (partial(VGG, "D", 10, 32), "not at 64"),
        (lambda: pooled(nn.Flatten(), nn.Linear(512, 10)), "not at 64"),
        (lambda: pooled(nn.Flatten(), nn.Linear(2048, 10)), "does not run"),
        (lambda: pooled(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)), "[N, 1000]"),
        (lambda: pooled(*HEAD[:2]), "[N, 512]"),
        (lambda: pooled(HEAD[0]), "[N, 512, 1, 1]"),
        (
            lambda: pooled(*HEAD[:2], nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)),
            "2 linear layers",
        ),
        (lambda: pooled(nn.AdaptiveMaxPool2d(1), *HEAD[1:]), "averages nothing"),
        (lambda: nn.Sequential(VGG("E", 10, 32).features, *HEAD), "14,719,818"),
    ],
)
def test_global_pooling_names_the_slip(build, hint):
    with torch.device("meta"):  # shapes and counts are enough
        verdict = checks.check_global_pooling(build())
    assert verdict.passed is False and hint in verdict.text


def largest_fall(net, images, labels):
    layers = probes.depth_statistics(net, images, labels)
    ratios = [after.spread / before.spread for before, after in pairwise(layers)]
    return layers, ratios.index(min(ratios))


def test_where_it_dies():
    def answer(net, images, labels):
        layers, k = largest_fall(net, images, labels)
        return layers[k + 1].name

    state = torch.random.get_rng_state()
    verdict = checks.check_where_it_dies(answer)
    assert verdict.passed is True and str(len(FAULTS)) in verdict.text
    assert torch.equal(state, torch.random.get_rng_state())
    assert checks.check_where_it_dies(None).passed is None
    assert checks.check_where_it_dies(lambda *_: None).passed is None


def by(quantity):
    def answer(net, images, labels):
        layers = probes.depth_statistics(net, images, labels)
        return min(layers, key=lambda layer: getattr(layer, quantity)).name

    return answer


def one_before(net, images, labels):
    layers, k = largest_fall(net, images, labels)
    return layers[k].name


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (by("spread"), "smallest spread"),
        (by("gradient"), "smallest gradient"),
        (one_before, "Of a pair, name the second"),
        (lambda *_: "conv5", "it is conv3"),
        (lambda *_: "conv9", "no layer with weights"),
        (lambda *_: 3, "name of a layer"),
        (lambda *_: 1 / 0, "ZeroDivisionError"),
        (lambda net: "conv3", "TypeError"),
        ("conv3", "TypeError"),
    ],
)
def test_where_it_dies_names_the_slip(function, hint):
    verdict = checks.check_where_it_dies(function)
    assert verdict.passed is False and hint in verdict.text
