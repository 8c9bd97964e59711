"""The checks of lesson 05: right answers pass, usual slips are named, nothing stops a notebook."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet as torchvision_resnet

from cnn_lessons import checks
from cnn_lessons.checks.resnet import SLIPS, _projection, _Slip
from cnn_lessons.models import ArticleResNet, ResNet, ResNetCIFAR
from cnn_lessons.models.resnet import BasicBlock, PadShortcut
from cnn_lessons.shapes import record


@pytest.mark.parametrize(
    ("check", "right", "slips"),
    [
        (checks.check_weight_layers, 156, {152: "name", 155: "256", 106: "three", 7: "Add"}),
        (
            checks.check_projection_cost,
            2752,
            {2560: "norm", 0: "option A", 576: "another", 9: "1×1"},
        ),
    ],
)
def test_numbers(check, right, slips):
    assert check(right).passed is True
    assert check(torch.tensor(right)).passed is True
    assert check(None).passed is None
    assert "one number" in check("many").text
    for answer, hint in slips.items():
        verdict = check(answer)
        assert verdict.passed is False and hint in verdict.text, answer


def test_the_numbers_are_those_of_the_networks():
    with torch.device("meta"):
        deep = ResNet(152)
        cost = [sum(p.numel() for p in ResNetCIFAR(110, shortcut=s).parameters()) for s in "BA"]
    assert sum(isinstance(layer, (nn.Conv2d, nn.Linear)) for layer in deep.modules()) == 156
    assert cost[0] - cost[1] == 2752


def zeros(maps):
    return torch.zeros_like(maps)


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (lambda m: F.pad(m[:, :, ::2, ::2], (0, 0, 0, 0, 16, 0)), "in front"),
        (lambda m: torch.cat([F.avg_pool2d(m, 2), zeros(F.avg_pool2d(m, 2))], 1), "mean"),
        (lambda m: torch.cat([F.max_pool2d(m, 2), zeros(F.max_pool2d(m, 2))], 1), "largest"),
        (lambda m: F.pad(m[:, :, :16, :16], (0, 0, 0, 0, 0, 16)), "corner"),
        (lambda m: F.pad(m[:, :, 1::2, 1::2], (0, 0, 0, 0, 0, 16)), "pixel 0"),
        (lambda m: m[:, :, ::2, ::2].repeat(1, 2, 1, 1), "twice"),
        (lambda m: m[:, :, ::2, ::2], "missing"),
        (lambda m: F.pad(m, (0, 0, 0, 0, 0, 16)), "halve"),
        (lambda m: F.pad(m[:, :, ::2, ::2], (0, 16)), "last axis"),
        (lambda m: F.pad(m[:, :, ::2, ::2], (0, 0, 0, 0, 0, 0, 0, 16)), "batch"),
        (lambda m: torch.ones(2, 32, 16, 16), "numbers are not"),
        (lambda m: 7, "tensor"),
        (lambda m: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_option_a_names_the_slip(function, hint):
    verdict = checks.check_option_a(function)
    assert verdict.passed is False and hint in verdict.text


def test_option_a():
    assert checks.check_option_a(PadShortcut(16, 2)).passed is True
    assert checks.check_option_a(None).passed is None
    assert checks.check_option_a(lambda maps: None).passed is None


def bottleneck(slip=""):
    def build(in_channels, channels, stride):
        return _Slip(
            slip, in_channels, channels, stride, _projection(in_channels, channels, stride)
        )

    return build


def without_choice(projects):
    def build(in_channels, channels, stride):
        shortcut = _projection(in_channels, channels, 2)
        shortcut[0].stride = (stride, stride)
        return torchvision_resnet.Bottleneck(
            in_channels, channels, stride, shortcut if projects else None
        )

    return build


def biased(in_channels, channels, stride):
    block = bottleneck()(in_channels, channels, stride)
    block.conv1 = nn.Conv2d(in_channels, channels, 1)
    return block


def narrow(in_channels, channels, stride):
    block = bottleneck()(in_channels, channels, stride)
    block.conv3 = nn.Conv2d(channels, channels, 1, bias=False)
    return block


def test_bottleneck():
    assert checks.check_bottleneck(bottleneck()).passed is True
    assert checks.check_bottleneck(None).passed is None


@pytest.mark.parametrize("slip", SLIPS)
def test_bottleneck_names_the_slip(slip):
    verdict = checks.check_bottleneck(lambda *sizes: bottleneck(slip)(*sizes))
    assert verdict.passed is False and SLIPS[slip] in verdict.text


@pytest.mark.parametrize(
    ("block", "hint"),
    [
        (without_choice(projects=True), "although the shape stays"),
        (without_choice(projects=False), "needs a 1×1"),
        (biased, "has a bias"),
        (narrow, "conv3.weight is [16, 16, 1, 1]"),
        (lambda a, b: nn.Identity(), "TypeError"),
        (lambda *sizes: 7, "nn.Module"),
        (lambda *sizes: nn.Linear(1, 1), "weight tensors"),
    ],
)
def test_bottleneck_names_what_else_is_wrong(block, hint):
    verdict = checks.check_bottleneck(block)
    assert verdict.passed is False and hint in verdict.text


def quiet(layer, what="weight"):
    def start(net):
        for module in net.modules():
            if isinstance(module, BasicBlock):
                nn.init.zeros_(getattr(getattr(module, layer), what))

    return start


def test_quiet_start():
    state = torch.random.get_rng_state()
    assert checks.check_quiet_start(quiet("bn2")).passed is True
    assert torch.equal(state, torch.random.get_rng_state())
    assert checks.check_quiet_start(None).passed is None
    assert checks.check_quiet_start(lambda net: None).passed is None


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        (quiet("bn1"), "for ever"),
        (quiet("conv2"), "enormous"),
        (lambda net: nn.init.zeros_(net.conv2_x[0].bn2.weight), "5 of 6"),
        (lambda net: nn.init.ones_(net.fc.bias), "still add"),
        (lambda net: [quiet("bn2")(net), nn.init.ones_(net.fc.bias)], "nothing else"),
        (lambda net: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_quiet_start_names_the_slip(function, hint):
    verdict = checks.check_quiet_start(function)
    assert verdict.passed is False and hint in verdict.text


def stem(size, stride):
    net = ArticleResNet()
    net.conv1 = nn.Conv2d(3, 64, size, stride, padding=size // 2, bias=False)
    return net


def test_repaired():
    assert checks.check_repaired(stem(3, 1)).passed is True
    assert record(stem(3, 1), (3, 32, 32)).dead == 0
    assert checks.check_repaired(stem(7, 1)).passed is True
    assert checks.check_repaired(None).passed is None
    assert "nn.Module" in checks.check_repaired(3).text
    assert "45.5%" in checks.check_repaired(ArticleResNet()).text
    assert "changes nothing" in checks.check_repaired(stem(3, 2)).text
    larger = nn.Sequential(nn.Upsample(scale_factor=2), ArticleResNet())
    assert "larger" in checks.check_repaired(larger).text
    assert "four blocks" in checks.check_repaired(ResNetCIFAR(20)).text
    broken = ArticleResNet()
    broken.block2 = nn.Conv2d(3, 3, 1)
    assert "does not run" in checks.check_repaired(broken).text
    assert "[N, 10]" in checks.check_repaired(ArticleResNet(5)).text
