"""The record of a forward pass: right for known networks, honest about those that fail."""

import pytest
import torch
import torchinfo
import torchvision
from torch import nn

from cnn_lessons.models import LeNet5, LeNet5Original
from cnn_lessons.shapes import ShapeError, record


def small_network(**options):
    return nn.Sequential(
        nn.Conv2d(3, 4, kernel_size=3, **options), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3)
    )


def test_the_article_s_lenet_has_its_shapes_and_fields():
    table = record(LeNet5(), (3, 32, 32))
    outputs = {row.name.split(".")[1]: row.output[1:] for row in table}
    assert outputs["c1"] == (6, 28, 28) and outputs["s2"] == (6, 14, 14)
    assert outputs["c3"] == (16, 10, 10) and outputs["s4"] == (16, 5, 5)
    assert outputs["flatten"] == (400,) and outputs["c5"] == (120,)
    assert outputs["f6"] == (84,) and outputs["output"] == (10,)
    fields = [table[f"features.{name}"].receptive_field[0] for name in ("c1", "s2", "c3", "s4")]
    assert fields == [5, 6, 14, 16]
    assert table["classifier.c5"].receptive_field == (32, 32)
    assert (table.parameters, table.macs) == (62_006, 651_720)


def test_fields_of_the_original_lenet():
    table = record(LeNet5Original(), (1, 32, 32))
    assert [table[n].receptive_field[0] for n in ("c1", "s2", "c3", "s4", "c5")] == [
        5,
        6,
        14,
        16,
        32,
    ]


@pytest.mark.parametrize(
    ("name", "macs", "field"),
    [
        ("resnet18", 1_814_073_344, 435),
        ("resnet34", 3_663_761_408, 899),
        ("resnet50", 4_089_184_256, 427),
    ],
)
def test_residual_networks_have_the_published_macs_and_fields(name, macs, field):
    with torch.device("meta"):
        model = getattr(torchvision.models, name)()
    table = record(model, (3, 224, 224))
    assert table.macs == macs
    last_map = [row for row in table if len(row.output) == 4 and row.kind != "AdaptiveAvgPool2d"][
        -1
    ]
    assert last_map.receptive_field == (field, field)


def test_dead_taps_of_a_resnet_18_at_32_pixels():
    with torch.device("meta"):
        model = torchvision.models.resnet18()
    dead = [round((1 - row.live) * row.parameters) for row in record(model, (3, 32, 32))]
    assert sum(dead) == 6_946_816
    assert all(row.live == 1 for row in record(model, (3, 224, 224)))


def test_the_receptive_field_is_what_a_gradient_reaches():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.Conv2d(2, 2, 3, dilation=2), nn.AvgPool2d(2)
    )
    images = torch.rand(1, 1, 40, 40, requires_grad=True)
    output = model(images)
    output[0, 0, 3, 2].backward()
    reached = images.grad[0, 0].nonzero()
    row = record(model, (1, 40, 40))[-1]
    for axis, place in ((0, 3), (1, 2)):
        seen = row.field[axis]
        assert reached[:, axis].min().item() == seen.first + place * seen.stride
        assert reached[:, axis].max().item() == seen.last + place * seen.stride


def test_live_taps_are_those_whose_weight_changes_the_output():
    convolution = nn.Conv2d(1, 1, 5, stride=2, padding=2, bias=False)
    for size in range(1, 8):
        images = torch.rand(1, 1, size, size) + 1
        convolution(images).sum().backward()
        live = (convolution.weight.grad != 0).double().mean().item()
        convolution.weight.grad = None
        assert record(convolution, (1, size, size))[0].live == pytest.approx(live)


def test_branches_and_shortcuts_are_rows_with_their_sources():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 5, padding=2)

        def forward(self, images):
            joined = torch.cat([self.left(images), self.right(images)], dim=1)
            return torch.flatten(joined + joined, 1)

    table = record(Branches(), (3, 8, 8))
    assert [row.kind for row in table] == ["Conv2d", "Conv2d", "cat", "add", "flatten"]
    assert [row.sources for row in table] == [(-1,), (-1,), (0, 1), (2, 2), (3,)]
    assert table["cat"].receptive_field == (5, 5)


def test_a_layer_that_is_called_twice_has_its_parameters_counted_once():
    layer = nn.Linear(4, 4)
    table = record(nn.Sequential(layer, nn.ReLU(), layer), torch.zeros(2, 4))
    assert [row.parameters for row in table] == [20, 0, 0] and table.parameters == 20


def test_torchinfo_sees_the_same_shapes_and_parameters():
    for model, size in ((LeNet5(), (3, 32, 32)), (torchvision.models.vgg11(), (3, 64, 64))):
        summary = torchinfo.summary(model, (2, *size), verbose=0)
        layers = [info for info in summary.summary_list if info.is_leaf_layer]
        rows = [row for row in record(model, size) if row.kind != "flatten"]
        assert [tuple(info.output_size) for info in layers] == [row.output for row in rows]
        assert summary.total_params == sum(row.parameters for row in rows)


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    record(model, (3, 8, 8))
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_layer_that_fails_is_named_with_all_that_ran():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(99, 10))
    with pytest.raises(ShapeError) as caught:
        record(model, (3, 8, 8))
    message = str(caught.value)
    assert "3 (Linear) failed" in message and "[N, 144]" in message
    assert "Conv2d" in message and "[N, 4, 6, 6]" in message
    assert not model[0]._forward_hooks and model.training


@pytest.mark.parametrize("inputs", [(3, 32), (3, 32, 0), (3, 32, 32.0), "32", None])
def test_a_wrong_input_is_refused_by_name(inputs):
    with pytest.raises(ValueError, match="inputs must be a tensor, several tensors, or three"):
        record(LeNet5(), inputs)


def test_an_unknown_layer_is_answered_with_the_known_ones():
    with pytest.raises(KeyError, match=r"features\.c1"):
        record(LeNet5(), (3, 32, 32))["c9"]


def test_the_text_table_fits_100_columns_and_ends_with_the_totals():
    with torch.device("meta"):
        lines = str(record(torchvision.models.resnet50(), (3, 224, 224))).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[-1].split() == ["total", "25,557,032", "4,089,184,256"]


def test_the_table_shows_a_batch_axis_that_was_lost():
    class Slip(nn.Module):
        def forward(self, images):
            return images.view(10, -1)

    assert "[10, 240]" in str(record(Slip(), torch.zeros(6, 16, 5, 5)))


def test_the_html_table_has_a_row_a_step_and_escapes_names():
    table = record(small_network(), (3, 8, 8))
    page = table._repr_html_()
    assert page.count("<tr>") == len(table) + 2 and "<style" not in page
    assert "[N, 4, 6, 6]" in page
