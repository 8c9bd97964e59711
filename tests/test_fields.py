"""What a unit sees, proved without a table: a pixel that is not a number shows whom it reaches."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from cnn_lessons.shapes import record

from .networks import CASES, empty, images, randomise


def reached(model, size, pixel):
    """The record of a pass in which one pixel is not a number."""
    pictures = images(size)
    pictures[(slice(None), slice(None), *pixel)] = float("nan")
    return record(model, pictures, keep=True)


def is_map(row):
    return len(row.output) >= len(row.field) + 2


def units_of(row, pixel):
    """The units of a map whose field has the pixel, as the record says; for a vector one truth."""
    inside = torch.ones(1, dtype=torch.bool)
    axes = row.output[-len(row.field) :] if is_map(row) else [1] * len(row.field)
    for field, n, place in zip(row.field, axes, pixel):
        starts = field.first + field.stride * torch.arange(n)
        inside = inside[..., None] & (starts <= place) & (place < starts + field.size)
    return inside[0]


def units_reached(row, output):
    """The units of a map that have turned into NaN in any channel; for a vector one truth."""
    maps = output.isnan() if output.is_floating_point() else torch.zeros_like(output).bool()
    if is_map(row):
        return maps.flatten(0, -len(row.field) - 1).any(dim=0)
    return maps.any().reshape([1] * len(row.field))


def wrong_fields(model, size, pixel, exact=False):
    """The rows in which a unit outside its field has turned into NaN, or one inside has not."""
    table = reached(model, size, pixel)
    wrong = []
    for row, output in zip(table, table.outputs):
        if row.field:
            said, found = units_of(row, pixel), units_reached(row, output)
            if not (torch.equal(said, found) if exact else (said | ~found).all()):
                wrong.append((row.name, row.field))
    return wrong


# --- the networks of the course -----------------------------------------------------------------

# The deepest ones repeat the blocks of those beside them.
DEEP = {"resnet_101_32", "resnet_152_32", "resnet_cifar_44", "resnet_cifar_56", "resnet_cifar_110"}
SMALL = [name for name, case in CASES.items() if case.size[1] == 32 and name not in DEEP]


@pytest.mark.parametrize("name", [*SMALL, "alexnet_half", "googlenet_no_aux", "resnet_18"])
def test_each_field_of_the_course_is_just_what_a_pixel_reaches(name):
    size = CASES[name].size
    pixel = (size[1] // 3, size[2] * 5 // 8)
    build = CASES[name].build
    model = build() if name.startswith("lenet") else empty(build)  # one has a table in a buffer
    assert not wrong_fields(randomise(model), size, pixel, exact=True)


# --- networks made for it -----------------------------------------------------------------------


class Net(nn.Module):
    """A network out of a function of itself and the pictures, and of its layers by name."""

    def __init__(self, run, **layers):
        super().__init__()
        self.run = run
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *inputs):
        return self.run(self, *inputs)


def conv(**options):
    return nn.Conv2d(3, 3, **{"kernel_size": 3, "padding": 1, **options})


def between(run, **options):
    """A function between two convolutions."""
    return Net(lambda net, x: net.b(run(net.a(x))), a=conv(**options), b=conv())


def own_layer(run):
    """The same function as a layer without parts, that is looked into."""
    return nn.Sequential(conv(), Net(lambda net, x: run(x)), conv())


def pad_by_hand(x):
    padded = torch.zeros(len(x), 3, 34, 34)
    padded[:, :, 1:-1, 1:-1] = x
    return padded


def read_an_older_view(x):
    padded = torch.zeros(len(x), 3, 34, 34)
    inside, left = padded[:, :, 1:-1, 1:-1], padded[:, :, :, :-2]
    inside.copy_(x)
    return left


def write_channels(x):
    result = torch.zeros_like(x)
    for k in range(3):
        result[:, k] = x[:, k]
    return result


def add_in_a_slice(x):
    x[:, :1] += x[:, 1:2].mean(dim=(2, 3), keepdim=True)
    return x


def zeros_between(x):
    wide = torch.zeros(len(x), 3, 64, 64)
    wide[:, :, ::2, ::2] = x
    return wide


def as_tokens(x):
    return x.flatten(2).mT


def as_maps(tokens):
    return tokens.mT.unflatten(2, (8, 8))


def attend(x):
    tokens = as_tokens(x)
    return as_maps((tokens @ tokens.mT).softmax(dim=-1) @ tokens)


def attend_in_torch(x):
    tokens = as_tokens(x)[:, None]
    return as_maps(F.scaled_dot_product_attention(tokens, tokens, tokens)[:, 0])


def squeeze(x):
    return x * x.mean(dim=(2, 3)).sigmoid()[:, :, None, None]


def channels_last(x):
    return (x.permute(0, 2, 3, 1) @ torch.ones(3, 3)).permute(0, 3, 1, 2)


def space_to_depth(x):
    parts = x.view(-1, 3, 16, 2, 16, 2).permute(0, 1, 3, 5, 2, 4)
    return parts.reshape(-1, 12, 16, 16)[:, ::4] + parts.flatten(1, 3)[:, 1::4]


WEIGHT, STRIDE_4 = torch.randn(3, 3, 3, 3), {"kernel_size": 4, "stride": 4, "padding": 0}
ALL, SAME = (0, 31, 0), (-2, 2, 1)
# What a unit of the last step sees from top to bottom, as first pixel, last pixel and stride.
MADE = {
    "padding by hand": (between(pad_by_hand), (-3, 1, 1)),
    "an older view": (between(read_an_older_view), (-3, 1, 1)),
    "channels one by one": (between(write_channels), SAME),
    "added in a slice": (between(add_in_a_slice), ALL),
    "zeros between": (between(zeros_between), None),
    "a mask": (between(lambda x: x.masked_fill(x < 0, 0)), SAME),
    "convolution of its own": (own_layer(lambda x: F.conv2d(x, WEIGHT, padding=1)), (-3, 3, 1)),
    "padding of its own": (own_layer(pad_by_hand), (-3, 1, 1)),
    "transposed, stride 1": (between(lambda x: F.conv_transpose2d(x, WEIGHT)), (-4, 2, 1)),
    "transposed, stride 2": (between(lambda x: F.conv_transpose2d(x, WEIGHT, stride=2)), None),
    "even kernel": (between(nn.Conv2d(3, 3, 4, padding=1)), (-3, 4, 1)),
    "dilation": (between(nn.MaxPool2d(3, stride=2, padding=1, dilation=2)), (-4, 6, 2)),
    "ceil": (between(nn.MaxPool2d(3, stride=2, ceil_mode=True)), (-3, 5, 2)),
    "crops": (between(lambda x: F.pad(x[:, :, 4:-4, 2:], (-1, 0, 3, -2))), (-1, 3, 1)),
    "reflected padding": (between(nn.ReflectionPad2d(2)), None),
    "halves joined again": (between(lambda x: torch.cat(x.chunk(2, dim=2), dim=2)), SAME),
    "halves swapped": (between(lambda x: torch.cat(x.chunk(2, dim=2)[::-1], dim=2)), None),
    "rows joined": (between(lambda x: torch.cat([y[:, :, None] for y in x.unbind(2)], 2)), None),
    "padded all round": (between(lambda x: torch.cat([x[..., -1:], x, x[..., :1]], dim=3)), None),
    "turned": (between(lambda x: x.flip(2)), None),
    "rolled": (between(lambda x: x.roll(5, dims=2)), None),
    "channels last": (between(channels_last, stride=2), (-3, 3, 2)),
    "space to depth": (between(space_to_depth), (-3, 3, 2)),
    "enlarged": (between(lambda x: F.interpolate(x, scale_factor=2)), None),
    "antialiased": (
        between(lambda x: F.interpolate(x, size=32, mode="bilinear", antialias=True)),
        None,
    ),
    "running sum": (between(lambda x: x.cumsum(dim=2)), None),
    "frequencies": (between(lambda x: torch.fft.ifft2(torch.fft.fft2(x)).real), None),
    "unequal parts": (between(nn.AdaptiveAvgPool2d(5)), None),
    "squeeze and excite": (between(squeeze), ALL),
    "attention": (between(attend, **STRIDE_4), ALL),
    "attention of torch": (between(attend_in_torch, **STRIDE_4), ALL),
    "softmax over channels": (between(nn.Softmax2d()), SAME),
    "softmax over places": (between(lambda x: x.flatten(2).softmax(-1).view_as(x)), ALL),
    "layer norm": (between(nn.LayerNorm([3, 32, 32])), ALL),
    "group norm": (between(nn.GroupNorm(3, 3)), ALL),
    "instance norm": (between(nn.InstanceNorm2d(3)), ALL),
    "norm without statistics": (between(nn.BatchNorm2d(3, track_running_stats=False)), ALL),
    "unknown after global": (between(lambda x: x + squeeze(x).roll(5, dims=2)), ALL),
}


@pytest.mark.parametrize("name", MADE)
def test_no_pixel_reaches_a_unit_outside_its_field(name):
    model, expected = MADE[name]
    for pixel in ((0, 0), (9, 21), (31, 31)):
        assert not wrong_fields(model, (3, 32, 32), pixel)
    field = record(model, (3, 32, 32))[-1].field
    assert (field and tuple(field[0])) == expected


def test_what_is_not_known_travels_on_and_is_shown():
    model = nn.Sequential(conv(), Net(lambda net, x: x.cumsum(2)), conv(), nn.Flatten())
    table = record(model, (3, 8, 8))
    assert [row.receptive_field for row in table] == [(3, 3), None, None, None]
    assert [line.split()[-1] for line in str(table).splitlines()[2:6]] == ["3", "?", "?", "?"]


def test_attention_over_places_sees_all_and_its_tokens_have_no_place():
    model = torchvision.models.VisionTransformer(16, 4, 1, 2, 8, 16, num_classes=3).eval()
    table = record(model, (3, 16, 16))
    names = [row.name.split(".")[-1] for row in table]
    first = names.index("multi_head_attention_forward")
    assert table[0].receptive_field == (4, 4)
    assert not any(row.field for row in table[1:first])
    assert {row.field for row in table[first:]} == {((0, 15, 0), (0, 15, 0))}
    assert not wrong_fields(model, (3, 16, 16), (5, 9))


@pytest.mark.parametrize(("axes", "kind"), [(1, "1d"), (3, "3d")])
def test_maps_of_one_and_three_axes(axes, kind):
    model = nn.Sequential(
        getattr(nn, f"Conv{kind}")(2, 3, 3, stride=2, padding=2),
        getattr(nn, f"MaxPool{kind}")(2),
        getattr(nn, f"Conv{kind}")(3, 2, 2),
    )
    size, pixel = (2, *[26] * axes), [7, 12, 25][:axes]
    assert not wrong_fields(model, size, pixel, exact=True)
    assert record(model, images(size, 2))[-1].field == ((-2, 6, 4),) * axes


def test_fields_and_views_of_any_layout_in_memory():
    """A tensor whose axes lie in another order in memory sees the same."""
    model = nn.Sequential(conv(stride=2), nn.MaxPool2d(2), conv())
    plain = record(model, images((3, 20, 20), 2))
    turned = record(
        model.to(memory_format=torch.channels_last),
        images((3, 20, 20), 2).contiguous(memory_format=torch.channels_last),
    )
    assert [row.field for row in plain] == [row.field for row in turned]


def test_one_unit_over_a_whole_map_sees_what_a_pool_of_its_size_sees():
    for pool in (nn.AvgPool2d(8), nn.AdaptiveAvgPool2d(1)):
        rows = record(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), pool), (3, 8, 8))
        assert rows[1].receptive_field == (10, 10)
