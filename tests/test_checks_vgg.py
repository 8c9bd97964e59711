"""The checks of lesson 03: right answers pass in any form, and each slip gets its own sentence."""

from collections import OrderedDict
from itertools import pairwise
from math import sqrt

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnn_lessons import checks
from cnn_lessons.checks import vgg
from cnn_lessons.models import VGG
from cnn_lessons.models import vgg as model
from cnn_lessons.see import probes
from cnn_lessons.shapes import record
from tests.verdicts import ChecksOfALesson, broken, nothing, prints

E = "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M"
D = "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"
A = "64 M 128 M 256 256 M 512 512 M 512 512 M"
C = "64 64 M 128 128 M 256 256 256/1 M 512 512 512/1 M 512 512 512/1 M"
LAYER = 9 * 64 * 64  # weights of one 3x3 layer, 64 maps in and out

META = torch.device("meta")  # shapes are enough

# --- networks -----------------------------------------------------------------------------------


def column(config=D, size=3, bend=nn.ReLU, norm=False, pool=nn.MaxPool2d):
    layers, channels = [], 3
    for word in config.split():
        if word == "M":
            layers.append(pool(2))
            continue
        layers.append(nn.Conv2d(channels, int(word), size, padding=size // 2, bias=not norm))
        layers += [nn.BatchNorm2d(int(word))] if norm else []
        layers.append(bend())
        channels = int(word)
    return nn.Sequential(*layers)


class GlobalAverage(nn.Module):
    def forward(self, maps):
        return maps.mean(dim=(2, 3))


class Pooled(nn.Module):
    """The network in another style: `pool` is a function."""

    def __init__(self, pool, end=None):
        super().__init__()
        with META:
            self.features, self.fc, self.pool = column(), nn.Linear(512, 10), pool
        self.end = end or nn.Identity()

    def forward(self, images):
        return self.end(self.fc(self.pool(self.features(images))))


def with_head(*more, classes=10, **settings):
    with META:
        head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes)
        return nn.Sequential(column(**settings), *head, *more)


def ending(*layers):
    return nn.Sequential(column(), *layers).to("meta")


# --- searches -----------------------------------------------------------------------------------


def found(choose):
    """A search that gives the name of the chosen layer."""

    def where_it_dies(net, images, labels):
        layers = probes.depth_statistics(net, images, labels)
        before = [float(images.std(dim=0).mean()), *(layer.spread for layer in layers)]
        return choose(net, layers, before).name

    return where_it_dies


def smallest_ratio(net, layers, before):
    ratios = [layer.spread / spread for layer, spread in zip(layers, before)]
    return layers[ratios.index(min(ratios))]


def largest_ratio(net, layers, before):
    return max(zip(layers, before), key=lambda pair: pair[0].spread / pair[1])[0]


def pair(measure, of=min, which=1):
    """Only layers are compared, never the first one with the pictures."""

    def choose(net, layers, before):
        return of(pairwise(layers), key=lambda pair: measure(*(each.spread for each in pair)))[
            which
        ]

    return choose


def layer_by_layer(net, images, labels):
    """A right answer in another style, without depth_statistics."""
    least, name, before = float("inf"), "", images.std(dim=0).mean()
    for key, module in net.named_children():
        images = module(images)
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            after = images.std(dim=0).mean()
            if after / before < least:
                least, name = after / before, key
            before = after
    return name


def smallest_weights(net, layers, before):
    return min(layers, key=lambda layer: net.get_submodule(layer.name).weight.std())


# --- the network from its column ----------------------------------------------------------------


def reads(*, names=True, conv="{}_{}", norm=True, order=("conv", "bn", "relu"), pools=True, **slip):
    """A builder of convolutions in a learner's style, with the slips that are named."""
    more = {"padding": 1} | slip.get("settings", {})
    more |= {key: slip[key] for key in ("padding", "stride") if key in slip}

    def convolutions(config, batch_norm=False):
        layers, channels, block, number = nn.Sequential(), 3, 1, 1
        for word in slip.get("config", config).split():
            if word == "M":
                if pools:
                    pool = nn.MaxPool2d(slip.get("pool", 2), 2, **slip.get("pooling", {}))
                    layers.add_module(f"pool{block}", pool)
                block, number = block + 1, 1
                continue
            maps = int(word) * slip.get("times", 1)
            made = {
                "conv": nn.Conv2d(channels, maps, slip.get("kernel", 3), **more),
                "bn": nn.BatchNorm2d(maps),
                "relu": nn.ReLU(inplace=True),
            }
            for kind in order:
                if kind != "bn" or (batch_norm if norm is True else norm):
                    name = kind + conv.format(block, number)
                    layers.add_module(name if names else str(len(layers)), made[kind])
            channels, number = (3 if slip.get("forgets") else maps), number + 1
        return layers

    return convolutions


def ending_with(head=None, **settings):
    """A builder of the whole network, of that part and a head."""
    dropout, numbers = settings.pop("dropout", 0.5), settings.pop("numbers", None)
    names = settings.pop("names", ("features", "classifier"))

    def build(config, hidden=4096, batch_norm=False):
        maps = numbers or int(config.split()[-2])
        layers = [("flatten", nn.Flatten())]
        for k, (into, out) in enumerate(((maps, hidden), (hidden, hidden)), start=6):
            layers += [(f"fc{k}", nn.Linear(into, out)), (f"relu{k}", nn.ReLU())]
            layers += [(f"drop{k}", nn.Dropout(dropout))]
        layers += [("fc8", nn.Linear(hidden, 10)), *(head or [])]
        parts = reads(**settings)(config, batch_norm), nn.Sequential(OrderedDict(layers))
        return nn.Sequential(OrderedDict(zip(names, parts)))

    return build


RIGHT = [
    (checks.check_convolutions, reads()),
    (checks.check_convolutions, reads(padding="same")),
    (checks.check_convolutions, model.convolutions),
    (checks.check_build, ending_with()),
    (checks.check_build, lambda config, hidden, norm: VGG(config, 10, 32, norm, hidden)),
    (checks.check_fc6_weights, 102_764_544),
    (checks.check_fc6_weights, torch.tensor(102_764_544)),
    (checks.check_stack_weights, 184_320),
    (checks.check_stack_weights, 184_320.0),
    (checks.check_he_std, sqrt(2 / 27)),
    (checks.check_he_std, torch.tensor(2 / 27).sqrt()),
    (checks.check_he_std, 0.27),
    (checks.check_column_e, E),
    (checks.check_column_e, E.replace(" M ", "  M\n")),
    (checks.check_column_e, E.replace("128", "128/3")),
    (checks.check_global_pooling, with_head()),
    (checks.check_global_pooling, with_head(norm=True)),
    (checks.check_global_pooling, Pooled(lambda maps: maps.mean(dim=(2, 3)))),
    (checks.check_global_pooling, Pooled(lambda maps: maps.flatten(2).mean(dim=2))),
    (checks.check_global_pooling, Pooled(
        lambda maps: F.avg_pool2d(maps, maps.shape[2:]).flatten(1))),
    (checks.check_global_pooling, Pooled(
        lambda maps: F.adaptive_avg_pool2d(maps, 1).squeeze(3).squeeze(2))),
    (checks.check_global_pooling, Pooled(GlobalAverage())),
    (checks.check_where_it_dies, found(smallest_ratio)),
    (checks.check_where_it_dies, layer_by_layer),
]  # fmt: skip


WRONG = [
    # the check, an answer, words that the message must have, words that it must not have
    (checks.check_convolutions, reads(names=False), "no names|conv1_1", "belongs"),
    (checks.check_convolutions, reads(padding=0), "padding 0|padding=1", "stride"),
    (checks.check_convolutions, reads(stride=2), "stride 2|Only the pools", "padding"),
    (checks.check_convolutions, reads(kernel=5), "3×3", "padding"),
    (checks.check_convolutions, reads(pool=3), "pool1 must have windows of 2×2", "belongs"),
    (checks.check_convolutions, reads(times=2), "makes 16 maps; the text says 8", "reads"),
    (checks.check_convolutions, reads(forgets=True), "reads 3 maps; 8 come in", "colours"),
    (checks.check_convolutions, reads(norm=False), "bn1_1 (BatchNorm2d) belongs|with batch norm",
     "only if"),
    (checks.check_convolutions, reads(norm=1), "without batch norm|only if", "padding"),
    (checks.check_convolutions, reads(order=("conv", "relu", "bn")), "before its ReLU", "only if"),
    (checks.check_convolutions, reads(order=("conv", "bn")), "relu1_1 (ReLU) belongs", "Batch"),
    (checks.check_convolutions, reads(pools=False), "pool1 (MaxPool2d) belongs", "Batch"),
    (checks.check_convolutions, reads(conv="{1}_{0}"), "conv2_1 (Conv2d) belongs|has conv1_2",
     "reads"),
    (checks.check_convolutions, reads(settings={"bias": False}), "the reference conv1_1.bias [8]",
     "agree"),
    (checks.check_convolutions, reads(settings={"padding_mode": "reflect"}), "yours has conv1_1",
     "bias"),
    (checks.check_convolutions, reads(settings={"dilation": 2}), "yours has conv1_1", "bias"),
    (checks.check_convolutions, reads(pooling={"padding": 1}), "yours has pool1", "conv1_1"),
    (checks.check_convolutions, reads(pooling={"ceil_mode": True}), "yours has pool2", "conv1_1"),
    (checks.check_convolutions, reads(config=D), "makes 64 maps; the text says 8", "reads"),
    (checks.check_convolutions, reads(config="8 M 16 16"), "pool2 is missing at the end", "has"),
    (checks.check_convolutions, reads(config="8 M 16 16 M 8"), "after the last pool comes conv3_1",
     "belongs"),
    (checks.check_convolutions, lambda config, batch_norm: [nn.ReLU()], "one nn.Sequential",
     "names"),
    (checks.check_convolutions, lambda config: nn.Sequential(), "TypeError", "names"),
    (checks.check_build, ending_with(numbers=512), "does not run|fc6",
     "softmax"),
    (checks.check_build, ending_with([("end", nn.Softmax(1))]), "softmax", "dropout"),
    (checks.check_build, ending_with([("end", nn.ReLU())]), "last step is ReLU", "softmax"),
    (checks.check_build, ending_with(dropout=0.2), "two dropouts of 0.5", "called"),
    (checks.check_build, ending_with(names=("body", "head")), "called body.conv1_1", "dropout"),
    (checks.check_build, ending_with(norm=False), "weight tensors", "dropout"),
    (checks.check_build, ending_with(order=("conv", "bn")), "other outputs|relu1_1", "dropout"),
    (checks.check_build, lambda config, hidden, norm: reads()(config, norm), "ends with maps",
     "softmax"),
    (checks.check_build, lambda config, hidden, norm: VGG(config, 1000, 32, norm, hidden), "1,000",
     "softmax"),
    (checks.check_build, lambda config, hidden, norm: VGG(config, 10, 32, norm),
     "first that differs", "softmax"),
    (checks.check_fc6_weights, 512 * 49 * 4096, "has one bias", "32 pixels"),
    (checks.check_fc6_weights, 512 * 4096 + 4096, "fc6 at 32 pixels, where", "without"),
    (checks.check_fc6_weights, 512 * 4096, "without its biases", "where one"),
    (checks.check_fc6_weights, 512 * 14 * 14 * 4096 + 4096, "14×14", "bias"),
    (checks.check_fc6_weights, 512 * 7 * 4096 + 4096, "49 numbers", "goes in"),
    (checks.check_fc6_weights, 512 * 49, "what goes in", "49 numbers"),
    (checks.check_fc6_weights, 512 * 49 * 4096 + 512 * 49, "a bias for each input", "goes in"),
    (checks.check_fc6_weights, 102_800_000, "exact", "is not it"),
    (checks.check_stack_weights, 121 * 64 * 64, "one layer of 11×11", "Eleven"),
    (checks.check_stack_weights, 11 * LAYER, "Eleven layers see 23×23", "one layer"),
    (checks.check_stack_weights, 10 * LAYER, "Ten layers see 21×21", "Eleven"),
    (checks.check_stack_weights, 6 * LAYER, "Six layers see 13×13", "Four"),
    (checks.check_stack_weights, 4 * LAYER, "Four layers see 9×9", "Three"),
    (checks.check_stack_weights, 3 * LAYER, "Three layers see 7×7", "Four"),
    (checks.check_stack_weights, 5 * 9, "for one map", "a layer"),
    (checks.check_stack_weights, 5 * 9 * 64, "9·64·64 a layer", "one map"),
    (checks.check_stack_weights, 5 * (LAYER + 64), "counted the biases", "reads"),
    (checks.check_stack_weights, LAYER, "it sees 3×3", "11×11."),
    (checks.check_he_std, sqrt(2 / 576), "fan_out, 9·64", "Glorot"),
    (checks.check_he_std, sqrt(1 / 27), "2 is missing", "variance"),
    (checks.check_he_std, 2 / 27, "variance", "over the 2"),
    (checks.check_he_std, sqrt(1 / 81), "PyTorch's own", "Glorot"),
    (checks.check_he_std, sqrt(2 / 603), "Glorot", "fan_out, 9"),
    (checks.check_he_std, sqrt(2 / 9), "reads 3 maps", "3×3 weights"),
    (checks.check_he_std, sqrt(2 / 3), "3×3 weights", "reads 3"),
    (checks.check_he_std, sqrt(2) / 27, "root goes over all", "variance"),
    (checks.check_he_std, 0.3, "Rounded", "products"),
    (checks.check_he_std, 5, "Count the products", "Rounded"),
    (checks.check_column_e, D, "Block 3|column D", "column A"),
    (checks.check_column_e, A, "Block 1|column A", "column D"),
    (checks.check_column_e, C, "'256/1' is neither", "column D"),
    (checks.check_column_e, E[:-2], "end with M", "pools"),
    (checks.check_column_e, E.replace("M 128", "M M 128"), "6 pools", "Block"),
    (checks.check_column_e, E.replace(" ", ", "), "'64,'|spaces", "Block"),
    (checks.check_column_e, E.replace("128 128", "96 96"), "Block 2 has 128 maps", "column D"),
    (checks.check_column_e, E.split(), "a string", "neither"),
    (checks.check_column_e, 19, "a string", "neither"),
    (checks.check_global_pooling, VGG("D", 10, 32), "not on 3 × 64 × 64", "linear"),
    (checks.check_global_pooling, ending(nn.Flatten(), nn.Linear(512, 10)),
     "not on 3 × 64 × 64", "average"),
    (checks.check_global_pooling, ending(nn.Flatten(), nn.Linear(2048, 10)),
     "does not run on 3 × 32 × 32", "but not"),
    (checks.check_global_pooling, Pooled(
        lambda maps: F.avg_pool2d(maps, maps.shape[3]).flatten(1)), "not on 3 × 32 × 64", "map"),
    (checks.check_global_pooling, with_head(classes=1000), "1,000", "softmax"),
    (checks.check_global_pooling, ending(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "[N, 512]",
     "linear"),
    (checks.check_global_pooling, ending(nn.AdaptiveAvgPool2d(1)), "ends with maps", "[N"),
    (checks.check_global_pooling, with_head(nn.Softmax(1)), "softmax", "ReLU"),
    (checks.check_global_pooling, with_head(nn.ReLU()), "last step is ReLU",
     "softmax"),
    (checks.check_global_pooling, Pooled(
        lambda maps: maps.mean(dim=(2, 3)), lambda logits: logits.softmax(1)), "softmax", "ReLU"),
    (checks.check_global_pooling, Pooled(
        lambda maps: maps.mean(dim=(2, 3)), torch.relu), "last step is relu", "softmax"),
    (checks.check_global_pooling, ending(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 512), nn.ReLU(),
        nn.Linear(512, 10)), "2 linear layers", "maps;"),
    (checks.check_global_pooling, ending(
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(512, 10)), "averages nothing", "pools"),
    (checks.check_global_pooling, with_head(config=E), "column D make", "3×3"),
    (checks.check_global_pooling, with_head(size=1), "kernels of column D are 3×3",
     "make"),
    (checks.check_global_pooling, with_head(bend=nn.Identity), "ReLU after 0.0",
     "pools"),
    (checks.check_global_pooling, with_head(config=D[:-2]), "five max-pools|has 4", "ReLU"),
    (checks.check_global_pooling, with_head(pool=nn.AvgPool2d), "five max-pools|has 0",
     "ReLU"),
    (checks.check_global_pooling, Pooled, "a class", "run"),
    (checks.check_where_it_dies, found(lambda net, layers, before: min(
        layers, key=lambda layer: layer.spread)), "smallest spread", "gradient"),
    (checks.check_where_it_dies, found(lambda net, layers, before: min(
        layers, key=lambda layer: layer.gradient)), "smallest gradient", "gains"),
    (checks.check_where_it_dies, found(smallest_weights), "smallest weights", "gradient"),
    (checks.check_where_it_dies, found(largest_ratio), "gains most", "gradient"),
    (checks.check_where_it_dies, found(pair(lambda a, b: b - a)), "largest difference",
     "first layer may"),
    (checks.check_where_it_dies, found(lambda net, layers, before: min(
        zip(layers, before), key=lambda pair: pair[0].spread - pair[1])[0]),
     "largest difference", "first layer may"),
    (checks.check_where_it_dies, found(pair(lambda a, b: b / a)), "first layer may be",
     "One layer off"),
    (checks.check_where_it_dies, found(pair(lambda a, b: b / a, which=0)),
     "One layer off|the second", "first layer may"),
    (checks.check_where_it_dies, found(pair(lambda a, b: a / b, of=max)), "first layer may be",
     "gains"),
    (checks.check_where_it_dies, lambda *_: "conv1", "it is conv4; you said conv1", "no layer"),
    (checks.check_where_it_dies, lambda *_: "relu1", "no layer with weights", "it is"),
    (checks.check_where_it_dies, lambda *_: 3, "name of a layer", "it is"),
    (checks.check_where_it_dies, lambda net, images, labels: probes.depth_statistics(
        net, images, labels)[0], "name of a layer|LayerStatistics", "it is"),
    (checks.check_where_it_dies, broken, "ZeroDivisionError|6 convolutions", "it is"),
    (checks.check_where_it_dies, prints, "prints", "attempted"),
    (checks.check_where_it_dies, lambda net: "conv3", "TypeError", "it is"),
    (checks.check_where_it_dies, "conv3", "without brackets", "it is"),
]  # fmt: skip


NOT_YET = [
    (checks.check_convolutions, None, "convolutions"),
    (checks.check_convolutions, nothing, "returns nothing yet"),
    (checks.check_build, None, "build"),
    (checks.check_build, nothing, "returns nothing yet"),
    (checks.check_fc6_weights, None, "fc6_parameters"),
    (checks.check_stack_weights, None, "stack_weights"),
    (checks.check_he_std, None, "he_std"),
    (checks.check_column_e, None, "as a string"),
    (checks.check_global_pooling, None, "pooled_net"),
    (checks.check_where_it_dies, None, "where_it_dies"),
    (checks.check_where_it_dies, nothing, "returns nothing yet"),
]


class TestTheChecks(ChecksOfALesson):
    lesson, right, wrong, not_yet = vgg, RIGHT, WRONG, NOT_YET


def test_the_numbers_are_those_of_the_networks():
    with torch.device("meta"):
        original = VGG("D")
        stack = nn.Sequential(*[nn.Conv2d(64, 64, 3, padding=1, bias=False) for _ in range(5)])
        seen = record(stack, (64, 32, 32))
    fc6 = sum(p.numel() for p in original.classifier.fc6.parameters())
    assert checks.check_fc6_weights(fc6).passed
    assert seen[-1].receptive_field == (11, 11)
    assert checks.check_stack_weights(seen.parameters).passed
    conv = nn.Conv2d(3, 4096, 3)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    assert conv.weight.std().item() == pytest.approx(sqrt(2 / 27), rel=0.02)
    blocks = [[*block, "M"] for block in model.TABLE_1["E"]]
    words = [word if word == "M" else str(word[1]) for block in blocks for word in block]
    assert " ".join(words) == E


def test_the_broken_layers_differ_in_depth_place_and_kind():
    """A search that does not look at the signal cannot find them all."""
    depths, layers, kinds = zip(*vgg.FAULTS)
    assert len({*depths}) >= 5 and {"conv1", "fc"} <= {*layers} and {*kinds} == {"tiny", "blind"}
    assert layers.count("conv1") == 2 and len({*layers}) >= 5
