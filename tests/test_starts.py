"""The first weights: each rule against its paper, and the very numbers that a seed gives."""

from functools import partial

import pytest
import torch
from torch import nn

from cnn_lessons import networks
from cnn_lessons.models import (
    VGG,
    AlexNet,
    AlexNetHalf,
    GoogLeNet,
    LeNet5Original,
    ResNet,
    ResNetCIFAR,
    starts,
    three_stages,
)


def test_alexnet_starts_as_the_paper_says():
    for name, parameter in AlexNet().named_parameters():
        layer = name.split(".")[1]
        if name.endswith("weight"):
            assert parameter.std().item() == pytest.approx(0.01, rel=0.02)
        else:
            one = layer in ("conv2", "conv4", "conv5", "fc6", "fc7")
            assert set(parameter.tolist()) == {1.0 if one else 0.0}, layer


@pytest.mark.parametrize(
    ("start", "std"),
    [
        (starts.vgg, 0.1),
        (partial(starts.vgg, std=0.01), 0.01),
        (starts.glorot, (2 / (9 * 64 + 9 * 64)) ** 0.5),
        (starts.he, (2 / (9 * 64)) ** 0.5),
    ],
)
def test_starts_that_are_one_rule_for_all_layers(start, std):
    model = start(VGG("B", num_classes=10, input_size=32))
    weights = model.features.conv1_2.weight
    assert weights.std().item() == pytest.approx(std, rel=0.02)
    # Of normal numbers 8.3 % lie further out than uniform ones of the same spread reach.
    far = (weights.abs() > 1.001 * 3**0.5 * std).float().mean().item()
    assert far == 0 if start is starts.glorot else 0.06 < far < 0.11
    assert not model.features.conv1_2.bias.any()
    assert not model.classifier.fc8.bias.any()


@pytest.mark.parametrize("build", [partial(ResNet, 18), ResNetCIFAR])
def test_resnets_start_with_hes_weights(build):
    for module in build().modules():
        if isinstance(module, nn.Conv2d):
            std = (2 / module.weight[0].numel()) ** 0.5
            assert module.weight.std().item() == pytest.approx(std, rel=0.15)


def test_the_articles_start_goes_by_fan_out():
    model = starts.article(AlexNetHalf(num_classes=10))
    std = (2 / (48 * 11 * 11)) ** 0.5
    assert model.features.conv1.weight.std().item() == pytest.approx(std, rel=0.05)
    assert model.classifier.fc7.weight.std().item() == pytest.approx(0.01, rel=0.02)


def test_the_original_lenet_starts_within_2_4_over_fan_in():
    torch.manual_seed(0)
    model, numbers = LeNet5Original(), {}
    for name, fan_in in {"c1": 25, "s2": 4, "s4": 4, "c5": 400, "f6": 120}.items():
        layer = model.get_submodule(name)
        numbers[name] = fan_in * torch.cat([layer.weight.flatten(), layer.bias.flatten()])
    maps = model.c3.reads.nonzero()[:, 0]
    for fan_in, some in {75: maps < 6, 100: (maps >= 6) & (maps < 15), 150: maps == 15}.items():
        numbers[f"c3, {fan_in} numbers"] = fan_in * model.c3.weight[some].flatten()
    numbers["c3, biases"] = 150 * model.c3.bias
    for name, each in numbers.items():
        assert each.abs().max() <= 2.4, name
        assert each.abs().max() > (1.2 if len(each) < 100 else 2.2), name
        assert each.min() < 0 < each.max(), name


@pytest.mark.parametrize("start", starts.STARTS.values())
def test_a_start_gives_the_network_back(start):
    layer = nn.Sequential(nn.Conv2d(1, 1, 3, bias=False), nn.BatchNorm2d(1))
    assert start(layer) is layer


# Stored weights and results were made with these numbers. From seed 0: the sum of the first weight
# of each layer, times 1, 2, 3, ..., and the random number that comes after the network. Measured
# before the constructors were last rewritten; but ArticleResNet's are those since then.
FROM_SEED_0 = {
    "LeNet5": (-0.411493, 0.850588),
    "AlexNetCIFAR": (-0.044339, 0.721426),
    "AlexNetSmall": (-0.560882, 0.794194),
    "VGG16": (0.278313, 0.604418),
    "VGG16Plain": (1.804019, 0.371281),
    "GoogLeNetCIFAR": (-5.264476, 0.307586),
    "GoogLeNetBN": (-9.891826, 0.179515),
    "ArticleResNet": (0.906328, 0.741762),
    "ResNetCIFAR20": (-2.635109, 0.275645),
    LeNet5Original: (-4.119586, 0.148139),
    partial(AlexNetHalf, 10): (-0.089579, 0.489323),
    partial(GoogLeNet, 10): (8.070163, 0.755696),
    partial(ResNet, 18): (2.460666, 0.532274),
    partial(ResNet, 50, 10, "3x3"): (6.314807, 0.913980),
    partial(ResNetCIFAR, 20, shortcut="B"): (1.458695, 0.402226),
    partial(three_stages, (16, 40, 80), (3, 2, 2)): (-3.323272, 0.516616),
}


@pytest.mark.parametrize("network", FROM_SEED_0, ids=range(len(FROM_SEED_0)))
def test_a_seed_gives_the_weights_that_it_gave_before(network):
    torch.manual_seed(0)
    model = networks.build(network) if isinstance(network, str) else network()
    after = torch.rand(()).item()
    first = [p.detach().flatten()[0].item() for p in model.parameters() if p.dim() > 1]
    found = sum(k * weight for k, weight in enumerate(first, start=1))
    assert (found, after) == pytest.approx(FROM_SEED_0[network], rel=1e-4)
