"""The controls of lesson 04 change what they say, and nothing else."""

import pytest
import torch
from torch.nn import functional as F

from benchmarks.experiments import googlenet
from cnn_lessons.models import Inception
from cnn_lessons.shapes import on_meta, record

SIZE = (3, 32, 32)


def zeros(net):
    """How many taps of the modules' larger kernels are zero."""
    modules = [each for each in net.features if isinstance(each, Inception)]
    kernels = [getattr(each, name).conv.weight for each in modules for name in BRANCHES]
    return sum(int((kernel == 0).sum()) for kernel in kernels)


BRANCHES = ("branch3x3", "branch5x5")


def test_the_taps_held_at_zero_are_those_that_are_dead_behind_the_old_stem():
    torch.manual_seed(0)
    net, dead = googlenet.held_at_zero(), record(googlenet.old_stem(), SIZE).dead
    assert dead > 0 and zeros(net) == dead and zeros(googlenet.repaired()) == 0
    optimiser = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    for _ in range(2):
        F.cross_entropy(net(torch.randn(4, *SIZE)), torch.arange(4)).backward()
        optimiser.step()
    assert zeros(net) == dead


def test_modules_of_one_size_make_as_many_maps_with_as_many_multiplications():
    ours, other = (on_meta(f, SIZE) for f in (googlenet.repaired, googlenet.three_by_three))
    assert other.macs == pytest.approx(ours.macs, rel=0.02)
    assert other.parameters == pytest.approx(ours.parameters, rel=0.02)
    net, plain = googlenet.repaired(), googlenet.three_by_three()
    for name, module in net.features.named_children():
        if isinstance(module, Inception):
            maps = torch.randn(2, module.in_channels, 4, 4)
            assert plain.features.get_submodule(name)(maps).shape == module(maps).shape
    assert {row.window.kernel for row in other if row.weights and row.window} == {(1, 1), (3, 3)}


def test_heads_are_those_of_4a_and_4d_and_add_three_tenths_of_their_losses():
    net = googlenet.WithHeads(googlenet.old_stem).eval()
    images, labels = torch.randn(4, *SIZE), torch.arange(4)
    loss, logits = googlenet.loss_with_heads(net, images, labels)
    features = net.net.features
    maps = {name: features[: 1 + list(features._modules).index(name)](images) for name in net.heads}
    extra = [F.cross_entropy(net.heads[name](each), labels) for name, each in maps.items()]
    assert list(net.heads) == ["inception_4a", "inception_4d"]
    torch.testing.assert_close(logits, net(images))
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels) + 0.3 * sum(extra))
