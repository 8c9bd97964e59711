"""The record of a forward pass: right for known networks, honest about those that fail."""

import gc
import weakref
from dataclasses import replace
from functools import cache
from xml.etree import ElementTree

import pytest
import torch
import torchinfo
import torchvision
from torch import nn

from cnn_lessons.models import GoogLeNet, LeNet5, LeNet5Original
from cnn_lessons.shapes import ShapeError, live_taps, record
from cnn_lessons.table import width


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


@pytest.mark.parametrize(
    ("name", "options", "dead"),
    [
        ("resnet18", {}, 6_946_816),
        ("googlenet", {"init_weights": False, "aux_logits": False}, 1_081_344),
        ("vgg16", {}, 0),
    ],
)
def test_weights_that_never_meet_a_pixel_at_32_pixels_and_at_224(name, options, dead):
    with torch.device("meta"):
        model = torchvision.models.get_model(name, **options)
    assert record(model, (3, 32, 32)).dead == dead
    large = record(model, (3, 224, 224))
    assert large.dead == 0 and all(row.live == 1 for row in large)


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
    assert "[N,&#160;4,&#160;6,&#160;6]" in page


def test_a_column_tells_of_dead_taps_only_where_there_are_some():
    dead, alive = (record(nn.Conv2d(3, 4, 5, padding=2), (3, side, side)) for side in (2, 8))
    assert str(alive).split("\n")[0].split()[-1] == "sees" and "live" not in alive._repr_html_()
    # 3 of 5 rows and columns of the kernel ever meet one of the 2 x 2 pixels.
    assert str(dead).split("\n")[2].split()[-1] == "36%"
    assert "36%" in dead._repr_html_()
    nearly = replace(dead, rows=[replace(dead[0], live=0.9999)])
    assert str(nearly).split("\n")[2].split()[-1] == "99.9%"  # rounded down: 100% is all of them


def test_the_table_shows_the_settings_of_a_window():
    table = record(nn.Conv2d(4, 6, (3, 5), (2, 1), (1, 2), dilation=2, groups=2), (4, 9, 9))
    cells = str(table).splitlines()[2].split("  ")
    assert [cell.strip() for cell in cells if cell.strip()][2:5] == ["3×5 g2 d2", "2×1", "1×2"]


@pytest.mark.parametrize("name", ["卷积层" * 30, "שכבה" * 30, "<b>" * 40])
def test_a_layer_of_any_name_has_its_row(name):
    model = nn.Sequential()
    model.add_module(name, nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    table = record(model, (3, 8, 8))
    assert max(map(width, str(table).splitlines())) <= 100
    page = ElementTree.fromstring(table._repr_html_())
    names = [row[0].text for row in page.findall("tbody/tr")]
    assert names == [f"{name}.0", f"{name}.1"]


# --- networks from elsewhere --------------------------------------------------------------------

ELSEWHERE = {
    "densenet121": 224,
    "mobilenet_v3_small": 224,
    "shufflenet_v2_x1_0": 224,
    "inception_v3": 299,
    "efficientnet_b0": 224,
    "resnet152": 224,
}


@cache
def record_elsewhere(name):
    options = {"init_weights": False} if name == "inception_v3" else {}
    with torch.device("meta"):
        model = torchvision.models.get_model(name, **options)
    return record(model, (3, ELSEWHERE[name], ELSEWHERE[name]))


@pytest.mark.parametrize("name", ELSEWHERE)
def test_networks_from_elsewhere_have_their_published_costs(name):
    published = torchvision.models.get_model_weights(name).DEFAULT.meta
    table = record_elsewhere(name)
    assert table.parameters == published["num_params"]
    assert round(table.macs / 1e9, 3) == published["_ops"]
    assert len({row.name for row in table}) == len(table)
    assert all(source < number for number, row in enumerate(table) for source in row.sources)
    assert all(row.field for row in table)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_their_tables_fit_100_columns_and_name_every_layer(name):
    for table in (record_elsewhere(name), record_elsewhere(name).fold()):
        lines = str(table).splitlines()
        assert max(map(len, lines)) <= 100
        assert all(any(row.name.split(".")[-1] in line for line in lines) for row in table)


def test_a_pass_that_leaves_modules_out_says_how_many_parameters():
    table = record_elsewhere("inception_v3")  # its auxiliary head is for training alone
    unused = 27_161_264 - sum(row.parameters for row in table)
    assert f"(in no row) {unused:,}" in " ".join(str(table).split())


# --- what feeds what ----------------------------------------------------------------------------


def test_a_shortcut_around_dropout_stays_a_shortcut():
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, images):
            return images + self.drop(images)

    assert [row.sources for row in record(Around(), (3, 4, 4))] == [(-1,), (-1, 0)]


def test_in_place_layers_follow_each_other_and_need_no_memory():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Flatten())
    table = record(model, (3, 8, 8))
    assert [row.sources for row in table] == [(-1,), (0,), (1,)]
    assert [row.memory for row in table] == [4 * 8 * 8 * 4, 0, 0]
    assert record(model.double(), (3, 8, 8)).memory == 4 * 8 * 8 * 8


def test_outputs_are_kept_as_they_were_before_a_later_layer_changed_them():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True))
    images = torch.randn(2, 3, 8, 8)
    first, second = record(model, images, keep=True).outputs
    assert torch.equal(first, model[0](images)[:1]) and torch.equal(second, first.relu())
    assert (first < 0).any()


def test_repeated_and_shared_layers_are_named_and_counted_once():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.tied = nn.Linear(4, 4), nn.Linear(4, 4)
            self.tied.weight = self.layer.weight

        def forward(self, images):
            return self.tied(self.layer(self.layer(images)))

    table = record(Shared(), torch.zeros(2, 4))
    assert [row.name for row in table] == ["layer", "layer (2)", "tied"]
    assert [row.parameters for row in table] == [20, 0, 4] and table.parameters == 24
    assert [row.macs for row in table] == [16, 16, 16]


def test_a_block_that_is_called_twice_is_two_blocks():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, images):
            return self.layer(images).relu()

    block = Block()
    table = record(nn.Sequential(block, block), torch.zeros(2, 4))
    assert [row.name for row in table.fold()] == ["0", "0 (2)"]
    assert [row.sources for row in table.fold()] == [(-1,), (0,)]


def test_several_inputs_and_outputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.memory = nn.LSTM(4, 3)

        def forward(self, left, right):
            return self.memory(left - right)

    left, right = torch.zeros(5, 2, 4), torch.zeros(5, 2, 4)
    table = record(Two(), (left, right))
    assert table["sub"].sources == (-1, -2)
    assert [row.name for row in table[1:]] == ["memory[0]", "memory[1]", "memory[2]"]
    assert [row.parameters for row in table[1:]] == [108, 0, 0]
    assert [row.macs for row in table[1:]] == [2 * (4 + 3) * 4 * 3, 0, 0]  # of five pictures one


def test_batch_norm_takes_a_single_picture_and_keeps_its_statistics():
    model = nn.Sequential(nn.Conv2d(3, 4, 8), nn.BatchNorm2d(4))
    assert record(model, torch.zeros(1, 3, 8, 8))[-1].output == (1, 4, 1, 1)
    assert model[1].num_batches_tracked == 0 and model.training


def test_another_method_of_the_model_can_be_run():
    model = GoogLeNet()
    table = record(model, (3, 224, 224), forward=model.forward_with_aux)
    assert sum(row.parameters for row in table) == table.parameters == 13_378_280
    assert {"aux1.fc2", "aux2.fc2"} <= {row.name for row in table}


def test_nothing_is_kept_alive_during_the_pass_or_after_it():
    alive, most = weakref.WeakSet(), 0

    class Step(nn.Module):
        def forward(self, images):
            nonlocal most
            alive.add(result := images + 1)
            most = max(most, len(alive))
            return result

    gc.disable()
    try:
        table = record(nn.Sequential(*[Step() for _ in range(20)]), (3, 8, 8))
        assert len(table) == 20 and most <= 3 and len(alive) == 0
    finally:
        gc.enable()


# --- what a unit sees, and what never meets a pixel ---------------------------------------------


class Functional(nn.Module):
    """The same steps as functions, as many write them."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, bias=False)

    def forward(self, images):
        maps = nn.functional.pad(images, (2, 0, 1, 1))
        maps = nn.functional.conv2d(maps, self.conv.weight, stride=2)
        maps = nn.functional.avg_pool2d(maps, 3, stride=1, padding=1)
        return torch.cat([nn.functional.avg_pool2d(maps, 2), maps[:, :, :18:2, :18:2]], dim=1)


@pytest.mark.parametrize(
    "model",
    [
        Functional(),
        nn.Sequential(nn.ZeroPad2d((1, 1, 3, 3)), nn.Conv2d(1, 1, (5, 3), dilation=(1, 2))),
        nn.Sequential(nn.Conv2d(1, 4, 3, groups=1), nn.Conv2d(4, 4, 5, padding="same", groups=4)),
        nn.Sequential(nn.Conv2d(1, 2, 4, stride=3), nn.AvgPool2d(3, 2, 1), nn.Conv2d(2, 1, 2)),
    ],
    ids=["functions", "padding and dilation", "groups", "strides"],
)
def test_the_field_is_what_a_gradient_reaches(model):
    torch.manual_seed(0)
    images = torch.rand(1, 1, 36, 36, requires_grad=True)
    output = model(images)
    row = record(model, (1, 36, 36))[-1]
    down, across = (n // 2 for n in output.shape[2:])
    output[0, :, down, across].sum().backward()
    reached = images.grad[0, 0].nonzero()
    for axis, place in ((0, down), (1, across)):
        seen = row.field[axis]
        assert reached[:, axis].min().item() == seen.first + place * seen.stride
        assert reached[:, axis].max().item() == seen.last + place * seen.stride


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_live_tap_is_one_whose_loss_changes_the_output(size):
    conv = nn.Conv2d(2, 3, (5, 3), stride=2, padding=(2, 1), bias=False)
    images = torch.rand(1, 2, size, size + 1) + 1
    row = record(conv, images)[0]
    whole, live = conv(images), live_taps(row)
    for y, x in torch.cartesian_prod(torch.arange(5), torch.arange(3)).tolist():
        with torch.no_grad():
            kept = conv.weight[:, :, y, x].clone()
            conv.weight[:, :, y, x] = 0
            assert live[y, x] == (not torch.equal(conv(images), whole))
            conv.weight[:, :, y, x] = kept
    assert row.dead == 2 * 3 * int((~live).sum())


def test_a_row_without_a_window_has_no_taps():
    with pytest.raises(ValueError, match="row must have a window"):
        live_taps(record(nn.ReLU(), (3, 4, 4))[0])


# --- folding, exports ---------------------------------------------------------------------------


def test_a_folded_record_has_the_same_totals_and_opens_to_its_steps():
    whole = record(GoogLeNet(aux=False), (3, 224, 224))
    folded = whole.fold("Inception")
    for total in ("parameters", "macs", "memory", "dead"):
        assert getattr(folded, total) == getattr(whole, total)
    row = folded["features.inception_3a"]
    assert row.parameters == 163_696 and row.output[1:] == (256, 28, 28)
    assert [folded[s].name for s in row.sources] == ["features.pool2"]
    assert len(row.inside) == 14 and row.inside[-1].kind == "cat"
    assert sum(row.kind == "Inception" for row in folded) == 9
    page = folded._repr_html_()
    assert page.count("<details>") == 9 and "branch3x3.reduce" in page
    assert [row.name for row in whole.fold("features.inception_3a") if row.inside] == [row.name]


def test_a_folded_block_has_the_dead_weights_of_its_steps_and_what_was_not_counted():
    convs = nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(2, 8, 1)

    class Block(nn.Sequential):
        def forward(self, images):
            return torch.fft.fft2(super().forward(images)).real

    whole = record(nn.Sequential(Block(*convs), nn.ReLU()), (3, 1, 1))
    folded = whole.fold("Block")
    assert whole.dead == folded.dead == folded[0].dead == 2 * 3 * 8
    assert not whole[0].at_least and folded[0].at_least and not folded[1].at_least


def test_folding_keeps_the_shortcuts_and_the_outputs():
    whole = record(torchvision.models.resnet18(), torch.rand(1, 3, 64, 64), keep=True)
    folded = whole.fold()
    assert [row.kind for row in folded].count("BasicBlock") == 8
    block = folded.number("layer2.0")
    assert folded[block].sources == (block - 1,)
    assert torch.equal(folded.outputs[block], whole.outputs[whole.number("layer2.0.relu (2)")])
    assert folded.outputs[block].any()


def test_an_unknown_block_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"blocks must be among .*BasicBlock.*; got \['Basic'\]"):
        record(torchvision.models.resnet18(), (3, 32, 32)).fold("Basic")


# --- against torchinfo, and against mistakes ----------------------------------------------------


def test_torchinfo_counts_biases_and_batch_norm_as_macs():
    model = torchvision.models.vgg11_bn()
    table = record(model, (3, 64, 64))
    theirs = torchinfo.summary(model, (1, 3, 64, 64), verbose=0).total_mult_adds
    added = 0
    for row in table:
        places = row.output[2] * row.output[3] if row.kind == "Conv2d" else 1
        added += places * (row.parameters - row.weights)
    assert theirs == table.macs + added


class WrongFlatten(nn.Module):
    """A learner's network, with a mistake in the size of its linear layer or in a view."""

    def __init__(self, slip):
        super().__init__()
        self.conv, self.slip = nn.Conv2d(3, 6, 5), slip
        self.fc = nn.Linear(6 * 14 * 14 + 1, 10)

    def forward(self, images):
        maps = nn.functional.max_pool2d(self.conv(images), 2)
        if self.slip == "view":
            return maps.view(-1, 5000)
        return self.fc(torch.flatten(maps, 1))


@pytest.mark.parametrize(
    ("slip", "where", "reached"),
    [
        ("size", "fc (Linear) failed. What reached it: [N, 1176]", "flatten"),
        ("view", "view in the network itself (WrongFlatten) failed.", "[N, 6, 14, 14]"),
    ],
)
def test_a_wrong_flatten_is_shown_with_the_layers_that_ran(slip, where, reached):
    model = WrongFlatten(slip)
    with pytest.raises(ShapeError) as caught:
        record(model, (3, 32, 32))
    message = str(caught.value)
    assert where in message and reached in message and "[N, 6, 28, 28]" in message
    assert model.training and not model.conv._forward_hooks and not model.conv._forward_pre_hooks


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LeNet5, "model must be a torch.nn.Module"),
        (nn.LazyLinear(3), r"lazy layers \(weight, bias\)"),
        (torch.jit.ScriptModule(), "model must be plain Python"),
    ],
    ids=["class", "lazy", "script"],
)
def test_what_cannot_be_recorded_is_refused_by_name(model, message):
    with pytest.raises(ValueError, match=message):
        record(model, (3, 32, 32))
