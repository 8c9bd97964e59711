"""What is measured inside a network: held against networks whose answer is known beforehand."""

from functools import partial

import pytest
import torch
from torch import nn

from cnn_lessons import networks
from cnn_lessons.models import VGG, BasicBlock, GoogLeNet, LeNet5, LeNet5Original
from cnn_lessons.models.googlenet import loss_with_aux
from cnn_lessons.see import probes
from tests.networks import images, randomise

SMALL = (3, 32, 32)


class Linear(nn.Module):
    """Maps, their means, and a linear layer: the one network whose class map has a closed form."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(3, 4, 3, stride=2)
        self.batch_norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 5)
        self.unused = nn.Conv2d(4, 4, 1)

    def forward(self, images):
        return self.fc(self.relu(self.batch_norm(self.maps(images))).mean(dim=(2, 3)))


def state(model):
    """Everything about a model that a measurement must not change."""
    modes = [module.training for module in model.modules()]
    hooks = [len(module._forward_hooks) for module in model.modules()]
    tensors = [tensor.clone() for tensor in model.state_dict().values()]
    return modes, hooks, tensors, [parameter.grad for parameter in model.parameters()]


MEASUREMENTS = {
    "features_of": lambda model, batch: probes.features_of(model, batch, "maps"),
    "grad_cam": lambda model, batch: probes.grad_cam(model, batch[0], 1, "maps"),
    "depth_statistics": lambda model, batch: probes.depth_statistics(
        model, batch, torch.zeros(len(batch), dtype=torch.long)
    ),
}


@pytest.mark.parametrize("name", MEASUREMENTS)
@pytest.mark.parametrize("size", [(3, 32, 32), (4, 32, 32)], ids=["works", "fails"])
def test_a_measurement_leaves_the_model_as_it_was(name, size):
    model = Linear()
    model.relu.eval()  # one mode that is not its parent's
    before = state(model)
    if size[0] == 3:
        MEASUREMENTS[name](model, images(size, 6))
    else:
        with pytest.raises(RuntimeError, match="channels"):
            MEASUREMENTS[name](model, images(size, 6))
    after = state(model)
    assert before[:2] == after[:2] and after[3] == [None] * len(after[3])
    assert all(torch.equal(a, b) for a, b in zip(before[2], after[2]))


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_measurement_may_stand_inside_inference_mode(name):
    model = Linear()
    with torch.inference_mode():
        MEASUREMENTS[name](model, images(SMALL, 6))


def test_features_are_the_layers_output_before_the_next_one_overwrites_it(monkeypatch):
    model, batch = Linear().eval(), images(SMALL, 7)
    expected = model.batch_norm(model.maps(batch)).detach()
    assert torch.equal(probes.features_of(model, batch, "batch_norm"), expected)
    assert expected.min() < 0
    monkeypatch.setattr(probes, "BATCH", 3)
    parts = probes.features_of(model, batch, "fc")
    torch.testing.assert_close(parts, model(batch).detach())
    assert parts.shape == (7, 5)


def test_grad_cam_before_a_linear_layer_on_means_is_the_class_map():
    """There the gradient on a map is the class's weight for it, divided by the map's points."""
    model, picture = randomise(Linear()), images(SMALL)[0]
    maps = probes.features_of(model, picture[None], "relu")[0]
    expected = torch.einsum("c,chw->hw", model.fc.weight[3].detach(), maps).relu() / 15**2
    torch.testing.assert_close(probes.grad_cam(model, picture, 3, "relu"), expected)
    assert expected.max() > 0


def test_grad_cam_weighs_each_map_by_the_mean_of_its_gradients():
    """Behind a linear layer that reads all places the gradients are its weights, each its own."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.Flatten(), nn.Linear(4 * 7 * 7, 5))
    picture = images(SMALL)[0]
    gradients = model[2].weight[3].detach().view(4, 7, 7)
    # Here the mean, the largest and the sum of absolute values tell different stories.
    means = gradients.mean(dim=(1, 2))
    assert means.min() < 0 < gradients.amax(dim=(1, 2)).min()
    maps = model[0](picture[None])[0].detach()
    expected = (means[:, None, None] * maps).sum(dim=0).relu()
    torch.testing.assert_close(probes.grad_cam(model, picture, 3, "0"), expected)


def test_grad_cam_of_frozen_weights_is_the_same():
    model, picture = randomise(LeNet5()), images(SMALL)[0]
    heat = probes.grad_cam(model, picture, 3, "features.c3")
    torch.testing.assert_close(
        probes.grad_cam(model.requires_grad_(False), picture, 3, "features.c3"), heat
    )
    assert heat.shape == (10, 10) and heat.min() >= 0 and heat.max() > 0


def test_the_statistics_of_a_hand_made_network():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False), nn.Linear(1, 2, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[2.0, 0.0]]))
        model[2].weight.copy_(torch.tensor([[0.0], [0.0]]))
    batch = torch.tensor([[1.0, 5.0], [3.0, 5.0]]).view(2, 2, 1, 1)
    first, second = probes.depth_statistics(model, batch, torch.tensor([0, 0]))
    # The units give 2 and 6, then 0 and 0: probabilities of a half, so the gradients of the
    # logits are -1/2 and 1/2, the second layer's are -2 and 2, and nothing reaches the first.
    assert first == ("1", pytest.approx(8**0.5), 0.0) and second.name == "2"
    assert second.spread == 0 and second.gradient == float("inf")


def test_a_batch_norm_is_no_layer_of_the_statistics():
    layers = probes.depth_statistics(Linear(), images(SMALL, 3), torch.tensor([0, 1, 2]))
    assert [layer.name for layer in layers] == ["maps", "fc"]


def test_the_spread_is_the_root_of_the_mean_square_over_the_units():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
    # The units give 3 and 9, and twice 5: variances of 18 and 0.
    batch = torch.tensor([[1.0, 5.0], [3.0, 5.0]]).view(2, 2, 1, 1)
    (layer,) = probes.depth_statistics(model, batch, torch.tensor([0, 0]))
    assert layer.spread == pytest.approx(3.0)


def test_the_vgg_of_the_article_cannot_start_but_one_with_batch_norm_can():
    torch.manual_seed(0)
    batch, labels = images(SMALL, 16), torch.arange(16) % 10
    plain, normed = (
        probes.depth_statistics(VGG("A", 10, 32, batch_norm=bn), batch, labels) for bn in (0, 1)
    )
    assert [layer.name.split(".")[-1] for layer in plain][7:] == ["conv5_2", "fc6", "fc7", "fc8"]
    # Measured on four kinds of processor: 0.000015 and 0.053, 0.000026 and 0.18.
    assert plain[-1].spread < 0.001 < 0.025 < normed[-1].spread
    assert plain[0].gradient < 1e-4 < 1e-2 < normed[0].gradient


def test_the_auxiliary_heads_bring_more_gradient_to_the_stem():
    torch.manual_seed(0)
    model = GoogLeNet(num_classes=10)
    batch, labels = images((3, 224, 224), 2), torch.tensor([3, 5])
    without = probes.depth_statistics(model, batch, labels)
    with_heads = probes.depth_statistics(model, batch, labels, loss_with_aux)
    assert len(with_heads) == len(without) + 2 * 3
    assert with_heads[0].gradient > 10 * without[0].gradient > 0  # 92 times, on each processor


def test_layers_of_our_own_are_measured_too():
    batch, labels = images((1, 32, 32), 3), torch.tensor([1, 2, 3])
    names = [s.name for s in probes.depth_statistics(LeNet5Original(), batch, labels)]
    assert [name.split(".")[-1] for name in names] == ["c1", "s2", "c3", "s4", "c5", "f6"]


PICTURE = torch.zeros(*SMALL)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(probes.features_of, name="mps"), "near it are: maps"),
        (partial(probes.features_of, name="unused"), "'unused' did not run"),
        (partial(probes.grad_cam, label=1, name="fc"), r"with maps; 'fc' gives \(1, 5\)"),
        (partial(probes.grad_cam, label=5, name="maps"), "label must be 0 to 4; got 5"),
        (partial(probes.grad_cam, label=-1, name="maps"), "label must be 0 to 4; got -1"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    picture = PICTURE[None] if call.func is probes.features_of else PICTURE
    with pytest.raises(ValueError, match=message):
        call(Linear(), picture)


def test_pictures_that_were_not_normalised_are_refused():
    with pytest.raises(ValueError, match=r"image must be \(C, H, W\), float.* uint8"):
        probes.grad_cam(Linear(), PICTURE.byte(), 1, "maps")
    with pytest.raises(ValueError, match=r"images must be \(N, C, H, W\)"):
        probes.features_of(Linear(), PICTURE, "maps")
    with pytest.raises(ValueError, match="images must be 2 or more"):
        probes.depth_statistics(Linear(), PICTURE[None], torch.tensor([0]))


@pytest.mark.parametrize("training", [True, False])
def test_the_ratio_of_a_block_is_that_of_what_it_adds_to_what_it_carries(training):
    torch.manual_seed(0)
    block = BasicBlock(3, 3)
    net = nn.Sequential(block, nn.AdaptiveAvgPool2d(1)).train(training)
    nn.init.constant_(block.bn2.weight, 2.0)  # the spread of a normalised map is then 2
    before, maps = state(net), 0.5 * torch.randn(64, 3, 8, 8)
    ratios = probes.residual_ratios(net, maps)
    assert ratios == {"0": pytest.approx(2 / float(maps.std()), rel=1e-3)}
    for old, new in zip(before[2], state(net)[2]):
        assert torch.equal(old, new)
    assert state(net)[:2] == before[:2]


def test_a_network_without_shortcuts_has_no_ratio():
    with pytest.raises(ValueError, match="basic blocks with a shortcut"):
        probes.residual_ratios(
            nn.Sequential(BasicBlock(3, 3, shortcut=None)), torch.rand(2, 3, 8, 8)
        )


def test_nonsense_is_noise_to_us_and_a_class_to_the_network():
    net = networks.load_trained("LeNet5").train()
    for label in (0, 8):
        before = state(net)
        picture = probes.nonsense(net, label, lambda pixels: pixels / 255 - 0.5, steps=20)
        assert picture.shape == (3, 32, 32) and picture.dtype == torch.uint8
        assert state(net)[:2] == before[:2]
        net.eval()
        with torch.no_grad():
            sure = net(picture[None] / 255 - 0.5).softmax(dim=1)[0, label]
            start = probes.nonsense(net, label, lambda pixels: pixels / 255 - 0.5, steps=0)
        net.train()
        assert sure > 0.98
        assert (picture.int() - start.int()).abs().max() <= 21, "a level a step, and rounding"
    assert torch.equal(start, probes.nonsense(net, 0, lambda pixels: pixels, steps=0)), "as before"


def test_nonsense_for_a_class_that_there_is_not_is_refused():
    net = networks.load_trained("LeNet5")
    with pytest.raises(ValueError, match="label must be 0 to 9; got 10"):
        probes.nonsense(net, 10, lambda pixels: pixels)
    with pytest.raises(ValueError, match="steps must be 0 or more; got -1"):
        probes.nonsense(net, 1, lambda pixels: pixels, steps=-1)
