"""What is measured inside a network: held against networks whose answer is known beforehand."""

from functools import partial

import pytest
import torch
from torch import nn

from cnn_lessons.models import VGG, GoogLeNet, LeNet5, LeNet5Original
from cnn_lessons.models.googlenet import loss_with_aux
from cnn_lessons.see import probes
from tests.networks import images, randomise

SMALL = (3, 32, 32)


class Corner(nn.Module):
    """Looks at the 8×8 pixels of the upper left corner alone; class 1 wants them bright."""

    def forward(self, images):
        bright = images[:, :, :8, :8].mean(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(bright), bright], dim=1)


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
    "occlusion": lambda model, batch: probes.occlusion(model, batch[0], 1, 8, 8),
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


def test_features_are_the_layers_output_before_the_next_one_overwrites_it():
    model, batch = Linear().eval(), images(SMALL, 7)
    expected = model.maps(batch).detach()
    assert torch.equal(probes.features_of(model, batch, "maps"), expected)
    parts = probes.features_of(model, batch, "fc", batch_size=3)
    torch.testing.assert_close(parts, model(batch).detach())
    assert parts.shape == (7, 5)


def test_only_the_corner_matters_to_a_network_that_sees_only_the_corner():
    fall = probes.occlusion(Corner(), torch.ones(*SMALL), label=1, size=8, stride=4)
    # A block of 4 pixels lies in the middle of its square of 8: the first covers 6 by 6 pixels.
    assert fall.shape == (8, 8)
    bright = torch.tensor([1.0, 1 - 6 * 6 / 64])
    p, q = torch.sigmoid(bright).tolist()
    assert fall[0, 0].item() == pytest.approx(p - q)
    assert fall[:3, :3].min() > 0 and fall[3:].abs().max() == 0 and fall[:, 3:].abs().max() == 0
    against = probes.occlusion(Corner(), torch.ones(*SMALL), label=0, size=8, stride=4)
    torch.testing.assert_close(against, -fall)


def test_occlusion_is_the_same_in_batches_of_any_size_and_for_any_picture():
    model, picture = randomise(Linear()), images((3, 13, 21))[0]
    one = probes.occlusion(model, picture, 2, size=5, stride=3, batch_size=7)
    assert one.shape == (5, 7)
    torch.testing.assert_close(one, probes.occlusion(model, picture, 2, size=5, stride=3))


def test_grad_cam_before_a_linear_layer_on_means_is_the_class_map():
    """There the gradient on a map is the class's weight for it, divided by the map's points."""
    model, picture = randomise(Linear()), images(SMALL)[0]
    maps = probes.features_of(model, picture[None], "relu")[0]
    expected = torch.einsum("c,chw->hw", model.fc.weight[3].detach(), maps).relu() / 15**2
    torch.testing.assert_close(probes.grad_cam(model, picture, 3, "relu"), expected)
    assert expected.max() > 0


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


def test_the_principal_axes_are_those_of_the_exact_decomposition():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(200, 5, 2, 3, generator=generator) * torch.arange(1, 4) ** 2
    before = torch.get_rng_state()
    points, shares = probes.principal_axes(features)
    table = features.flatten(1) - features.flatten(1).mean(dim=0)
    _, strengths, directions = torch.linalg.svd(table)
    torch.testing.assert_close(shares, strengths[:2] ** 2 / (strengths**2).sum())
    torch.testing.assert_close(points.abs(), (table @ directions[:2].T).abs(), rtol=1e-3, atol=1e-3)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(points, probes.principal_axes(features)[0])


PICTURE = torch.zeros(*SMALL)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(probes.features_of, name="mps"), "near it are: maps"),
        (partial(probes.features_of, name="unused"), "'unused' did not run"),
        (partial(probes.grad_cam, label=1, name="fc"), r"with maps; 'fc' gives \(1, 5\)"),
        (partial(probes.grad_cam, label=5, name="maps"), "label must be 0 to 4; got 5"),
        (partial(probes.occlusion, label=-1), "label must be 0 to 4; got -1"),
        (partial(probes.occlusion, label=0, size=33), "size must be 1 to 32 pixels; got 33"),
        (partial(probes.occlusion, label=0, stride=0), "stride must be 1 to 32 pixels; got 0"),
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
    with pytest.raises(ValueError, match="features must be"):
        probes.principal_axes(torch.zeros(2, 5))
