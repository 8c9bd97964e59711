"""What made a number: each sum that is shown is the network's own, and adds up as it is written."""

import re

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from cnn_lessons.models import (
    AlexNetCIFAR,
    GoogLeNetCIFAR,
    LeNet5,
    LeNet5Original,
    ResNetCIFAR,
)
from cnn_lessons.see.units import as_maps, layer_of, unit_words
from cnn_lessons.shapes import record

NUMBER = r"−?\d+(?:\.\d+)?(?:e−?\d+)?"


def number(text):
    return float(text.replace("−", "-"))


def told(model, image, unit=None, step=0, names=()):
    """What is said of a unit, the middle one of the first map if none is given."""
    recorded = record(model, image, keep=True)
    maps = as_maps(recorded.outputs[step])
    unit = unit or (0, maps.shape[1] // 2, maps.shape[2] // 2)
    return unit_words(recorded, step, unit, model, image, names), maps[unit].item()


def terms(words):
    """The terms of a sum by their names, and its result; a term has the sign before it."""
    text, result = words.rsplit(": ", 1)[1].rsplit(" = ", 1) if "·" not in words else (words, "")
    if not result:
        text, result = re.split("weight: ", words)[1].rsplit(" = ", 1)
    found = re.findall(rf"(?:([+−]) )?({NUMBER}) \(([^)]*)\)", text)
    signed = {name: number(n) * (-1 if sign == "−" else 1) for sign, n, name in found}
    return signed, number(result)


def random(*size):
    return torch.randn(size, generator=torch.Generator().manual_seed(1))


# --- convolutions ---------------------------------------------------------------------------------

CONVOLUTIONS = {
    "stride and padding": (nn.Conv2d(3, 4, 3, stride=2, padding=1), (3, 9, 9)),
    "groups": (nn.Conv2d(6, 4, 3, padding=1, groups=2), (6, 7, 7)),
    "each map alone": (nn.Conv2d(4, 8, 3, padding=1, groups=4), (4, 7, 7)),
    "dilation": (nn.Conv2d(3, 4, 3, padding=2, dilation=2), (3, 9, 9)),
    "two sizes": (nn.Conv2d(3, 4, (5, 1), stride=(2, 1), padding=(2, 0)), (3, 9, 6)),
    "no bias": (nn.Conv2d(3, 4, 1, bias=False), (3, 5, 5)),
    "a kernel of even size": (nn.Conv2d(2, 3, 4, padding=1), (2, 8, 8)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_is_the_sum_over_the_maps_it_reads(name):
    """The truth of each term: torch's own convolution of that map alone, without the bias."""
    layer, size = CONVOLUTIONS[name]
    image = random(1, *size)
    with torch.no_grad():
        out, each = layer(image)[0], layer.weight.shape[1]
        for channel in range(len(out)):
            group = channel // (len(out) // layer.groups) * each
            kernels = layer.weight[channel][:, None]
            alone = F.conv2d(
                image[:, group : group + each], kernels, None, layer.stride, layer.padding,
                layer.dilation, groups=each,
            )[0]  # fmt: skip
            for y, x in [(0, 0), (1, 2), (out.shape[1] - 1, out.shape[2] - 1)]:
                words, value = told(layer, image, (channel, y, x))
                assert words.startswith(f"Map {channel}, row {y}, column {x}: ")
                assert value == out[channel, y, x]
                shown, result = terms(words)
                wanted = {f"map {group + k}": float(n) for k, n in enumerate(alone[:, y, x])}
                wanted |= {} if layer.bias is None else {"bias": float(layer.bias[channel])}
                rough = 0.01 * max(map(abs, [*wanted.values(), value]))  # of three digits
                assert shown == pytest.approx(wanted, abs=rough)
                assert result == pytest.approx(value, abs=rough)


def test_of_many_maps_the_largest_are_told_and_the_others_together():
    layer, image = nn.Conv2d(40, 2, 3), random(1, 40, 5, 5)
    shown, result = terms(told(layer, image, (1, 1, 1))[0])
    products = (image[0, :, 1:4, 1:4] * layer.weight[1]).sum(dim=(1, 2)).detach()
    largest = products.abs().topk(6).indices.tolist()
    assert [*shown] == [*(f"map {k}" for k in largest), "the other 34 together", "bias"]
    assert sum(shown.values()) == pytest.approx(result, abs=0.05)
    assert shown["the other 34 together"] == pytest.approx(
        float(products.sum() - products[largest].sum()), abs=0.01
    )


# --- pools and linear layers ----------------------------------------------------------------------


def test_a_max_pool_is_the_largest_of_its_window():
    image = random(1, 2, 6, 6)
    words, value = told(nn.MaxPool2d(2), image, (1, 2, 0))
    among, result = re.search(": the largest of (.*) is (.*)", words).groups()
    seen = image[0, 1, 4:6, 0:2].flatten().tolist()
    assert [number(n) for n in among.split(", ")] == pytest.approx(seen, abs=0.006)
    assert number(result) == pytest.approx(value, abs=0.006) and value == max(seen)


def test_what_a_pool_pads_with_is_not_among_its_numbers():
    words, _ = told(nn.MaxPool2d(3, 2, padding=1), -1 - random(1, 1, 6, 6).abs(), (0, 0, 0))
    assert words.count(",") - 2 == 3  # a corner: four of nine, and the place has two


@pytest.mark.parametrize(
    ("layer", "unit", "seen", "divisor"),
    [
        (nn.AvgPool2d(2), (0, 1, 1), (slice(2, 4), slice(2, 4)), 4),
        (nn.AvgPool2d(3, 1, padding=1), (1, 0, 0), (slice(0, 2), slice(0, 2)), 9),
        (
            nn.AvgPool2d(3, 1, padding=1, count_include_pad=False),
            (1, 0, 0),
            (slice(0, 2), slice(0, 2)),
            4,
        ),
        (nn.AdaptiveAvgPool2d(3), (0, 1, 2), (slice(2, 4), slice(4, 6)), 4),
        (nn.AdaptiveAvgPool2d(1), (1, 0, 0), (slice(0, 6), slice(0, 6)), 36),
    ],
)
def test_a_mean_is_a_sum_by_a_number(layer, unit, seen, divisor):
    image = random(1, 2, 6, 6)
    words, value = told(layer, image, unit)
    total, by, result = re.search(rf": (.*) / (\d+) = ({NUMBER})", words).groups()
    numbers = image[0, unit[0]][seen].flatten().tolist()
    assert int(by) == divisor and number(result) == pytest.approx(value, abs=0.006)
    assert sum(numbers) / divisor == pytest.approx(value, abs=1e-5)
    if total.startswith("("):
        parts = re.findall(NUMBER, total.replace("− ", "−"))
        assert [number(n) for n in parts] == pytest.approx(numbers, abs=0.006)
    else:
        assert total.startswith(f"the sum of {len(numbers)} numbers from ")


def test_the_mean_of_a_function_is_told_as_well():
    class Mean(nn.Module):
        def forward(self, images):
            return images.mean((2, 3))

    words, value = told(Mean(), random(1, 3, 2, 2), (2, 0, 0))
    assert words.startswith("Number 2: (") and " / 4 = " in words
    assert number(words.rsplit(" = ")[1]) == pytest.approx(value, abs=0.006)


def test_a_linear_layer_is_a_weighted_sum_of_which_the_largest_terms_are_told():
    layer, image = nn.Linear(20, 3), random(1, 20)
    words, value = told(layer, image, (2, 0, 0), names=["cat", "dog", "owl"])
    assert words.startswith("Number 2 (owl): ")
    shown, result = terms(words)
    products = (layer.weight[2] * image[0]).detach()
    largest = products.abs().topk(6).indices.tolist()
    assert [int(name.split(":")[0][7:]) for name in [*shown][:6]] == largest
    for k, name in zip(largest, shown):
        read, weight = map(number, name.split(": ")[1].split("·"))
        assert read == pytest.approx(float(image[0, k]), rel=0.006)
        assert weight == pytest.approx(layer.weight[2, k].item(), rel=0.006)
        assert shown[name] == pytest.approx(float(products[k]), abs=0.006)
    assert sum(shown.values()) == pytest.approx(result, abs=0.006)
    assert result == pytest.approx(value, abs=0.006)


# --- whole networks -------------------------------------------------------------------------------

NETWORKS = {
    "LeNet5": (LeNet5, (3, 32, 32)),
    "LeNet5Original": (LeNet5Original, (1, 32, 32)),
    "AlexNetCIFAR": (AlexNetCIFAR, (3, 32, 32)),
    "GoogLeNetCIFAR": (GoogLeNetCIFAR, (3, 32, 32)),
    "ResNetCIFAR": (lambda: ResNetCIFAR(20), (3, 32, 32)),
    "mobilenet_v2": (torchvision.models.mobilenet_v2, (3, 64, 64)),
    "densenet121": (torchvision.models.densenet121, (3, 64, 64)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_sum_in_a_network_is_told_at_corners_and_in_the_middle(name):
    """The last number of each sentence is torch's; sums, pools, additions have their parts."""
    build, size = NETWORKS[name]
    torch.manual_seed(0)
    model, image = build().eval(), random(1, *size)
    recorded = record(model, image, keep=True)
    for step, row in enumerate(recorded):
        maps = as_maps(recorded.outputs[step])
        many, height, width = maps.shape
        for unit in [(0, 0, 0), (many // 2, height // 2, width // 2), (many - 1, height - 1, 0)]:
            words = unit_words(recorded, step, unit, model, image)
            value = maps[unit].item()
            last = number(re.findall(NUMBER, re.sub(", copied.*", "", words))[-1])
            # A sum is written with three digits of its largest term, which may be much larger.
            shown = [abs(number(n)) for n in re.findall(NUMBER, words.partition(": ")[2])]
            assert last == pytest.approx(value, abs=0.006 * max(*shown, 1e-9)), words
            if isinstance(layer_of(model, row), (nn.Conv2d, nn.Linear)) or row.weights:
                assert "(map " in words or "(number " in words or "·" in words, words
            if "pool" in row.kind.lower():
                assert "largest of" in words or " / " in words, words
            if row.kind == "add":
                assert re.search(r"[+−] [\d.e−]+ = ", words), words


def test_what_is_joined_says_where_it_comes_from():
    model, image = GoogLeNetCIFAR().eval(), random(1, 3, 32, 32)
    recorded = record(model, image, keep=True)
    step = recorded.number("features.inception_3a.cat")
    words = unit_words(recorded, step, (70, 1, 1), model, image)
    source = recorded[step].sources[1]
    assert words.endswith(f", copied from map 6 of step {source}")


# --- what cannot be told is not told --------------------------------------------------------------


class Twice(nn.Conv2d):
    """Not what its weights say."""

    def forward(self, images):
        return 2 * super().forward(images)


@pytest.mark.parametrize(
    "model",
    [
        Twice(3, 4, 3),
        nn.ConvTranspose2d(3, 4, 3),
        nn.LPPool2d(2, 2),
        nn.AvgPool2d(2, divisor_override=3),
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"),
    ],
)
def test_a_sum_that_is_not_the_networks_number_is_not_shown(model):
    words, value = told(model, random(1, 3, 6, 6), (0, 0, 0))
    assert re.fullmatch(rf"Map 0, row 0, column 0: {NUMBER}", words), words
    assert number(words.split(": ")[1]) == pytest.approx(value, rel=0.006)


class Mean(nn.Module):
    def __init__(self, *axes):
        super().__init__()
        self.axes = axes

    def forward(self, images):
        return images.mean(self.axes)


@pytest.mark.parametrize(
    ("model", "size"),
    [(Mean(1, 2), (2, 3)), (Mean(1), (2, 9)), (nn.LayerNorm((2, 9)), (3, 2, 9))],
    ids=["of all", "of the maps", "weights of another layer"],
)
def test_shapes_that_no_rule_expects_do_no_harm(model, size):
    images = random(1, *size)
    last = tuple(side - 1 for side in as_maps(record(model, images, keep=True).outputs[0]).shape)
    words, value = told(model, images, last)
    assert number(re.findall(NUMBER, words)[-1]) == pytest.approx(value, rel=0.01)


@pytest.mark.parametrize("model", [nn.Conv2d(3, 4, 3), nn.MaxPool2d(3), nn.AvgPool2d(3)])
@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_told_as_such(model, odd):
    image = random(1, 3, 6, 6)
    image[0, 1, 1, 1] = odd
    words, value = told(model, image, (1, 0, 0))
    assert re.search("nan|inf", words)
    assert not abs(value) < 1e9 or isinstance(model, nn.MaxPool2d)


def test_a_row_of_thousands_is_told_as_soon_as_a_short_one():
    """Only the terms that are told are put into words."""
    layer, image = nn.Linear(25_088, 2, bias=False), random(1, 25_088)
    words, _ = told(layer, image)
    assert words.count("·") == 6 and "the other 25,082 together" in words


def test_huge_and_tiny_numbers_stay_short():
    for factor in (1e-30, 1e-4, 1, 1e7, 1e30):
        words, value = told(nn.MaxPool2d(2), random(1, 1, 2, 2).abs() * factor)
        assert len(words) < 100
        assert number(words.split(" is ")[1]) == pytest.approx(value, rel=0.006)
