"""GoogLeNet (Szegedy et al. 2014, arXiv:1409.4842): Table 1 and Figures 2 and 3."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# The nine inception modules. A module's input is the sum of the row above, without its "reduce".
# fmt: off
Counts = dict[str, tuple[int, int, int, int, int, int]]
TABLE_1: Counts = {
    #     1x1  3x3    3x3  5x5   5x5  pool
    #          reduce      reduce     proj
    "3a": ( 64,  96, 128, 16,  32,  32),
    "3b": (128, 128, 192, 32,  96,  64),
    "4a": (192,  96, 208, 16,  48,  64),
    "4b": (160, 112, 224, 24,  64,  64),
    "4c": (128, 128, 256, 24,  64,  64),
    "4d": (112, 144, 288, 32,  64,  64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}

# The article's slip in 5b. No shape shows it: a reduce is not an output.
ARTICLE_TABLE = {**TABLE_1, "5b": (384, 182, 384, 48, 128, 128)}


class GoogLeNetOutput(NamedTuple):
    """Logits (N, num_classes) of the network and of the heads at 4a (aux1) and at 4d (aux2)."""
    logits: Tensor
    aux1: Tensor
    aux2: Tensor


class Inception(nn.Module):
    """The module of Figure 2b: four branches over the same maps, their outputs side by side.

    Input (N, in_channels, H, W), output (N, out_channels, H, W), its channels in the branches'
    order. The six counts are a row of Table 1. With `batch_norm`, each convolution is followed by
    it, as in arXiv:1502.03167, and has no bias. Raises ValueError for a count below 1.
    """

    def __init__(self, in_channels: int, ch1x1: int, ch3x3_reduce: int, ch3x3: int,
                 ch5x5_reduce: int, ch5x5: int, pool_proj: int, batch_norm: bool = False):
        super().__init__()
        row = (in_channels, ch1x1, ch3x3_reduce, ch3x3, ch5x5_reduce, ch5x5, pool_proj)
        if any(type(count) is not int or count < 1 for count in row):
            raise ValueError(f"in_channels and the six counts must be at least 1; got {row}")
        self.in_channels = in_channels
        self.out_channels = ch1x1 + ch3x3 + ch5x5 + pool_proj
        layers = partial(_layers, batch_norm=batch_norm)
        self.branch1x1 = _named(layers("conv", "", in_channels, ch1x1, 1))
        self.branch3x3 = _named(
            layers("reduce", "_reduce", in_channels, ch3x3_reduce, 1)
            | layers("conv", "", ch3x3_reduce, ch3x3, 3)
        )
        self.branch5x5 = _named(
            layers("reduce", "_reduce", in_channels, ch5x5_reduce, 1)
            | layers("conv", "", ch5x5_reduce, ch5x5, 5)
        )
        pool = {"pool": nn.MaxPool2d(3, stride=1, padding=1)}
        self.branch_pool = _named(pool | layers("proj", "", in_channels, pool_proj, 1))

    def forward(self, maps: Tensor) -> Tensor:
        if maps.dim() != 4 or maps.shape[1] != self.in_channels:
            raise ValueError(f"maps must be (N, {self.in_channels}, H, W); got {tuple(maps.shape)}")
        branches = (self.branch1x1, self.branch3x3, self.branch5x5, self.branch_pool)
        return torch.cat([branch(maps) for branch in branches], dim=1)


def _layers(name: str, suffix: str, in_channels: int, out_channels: int, size: int,
            stride: int = 1, batch_norm: bool = False) -> dict[str, nn.Module]:
    """A convolution, batch norm if it is asked for, and a ReLU, by name.

    Batch norm takes away any constant and adds its own, so the convolution before it has no bias.
    """
    conv = nn.Conv2d(in_channels, out_channels, size, stride, size // 2, bias=not batch_norm)
    norm = {f"bn{suffix}": nn.BatchNorm2d(out_channels)} if batch_norm else {}
    return {name: conv, **norm, f"relu{suffix}": nn.ReLU()}


def _named(layers: dict[str, nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


class NaiveInception(nn.Module):
    """The module of GoogLeNet's Figure 2a: without reductions, and without a projection.

    Input (N, in_channels, H, W), output (N, ch1x1 + ch3x3 + ch5x5 + in_channels, H, W).
    """

    def __init__(self, in_channels: int, ch1x1: int, ch3x3: int, ch5x5: int):
        super().__init__()
        self.conv1x1 = nn.Conv2d(in_channels, ch1x1, kernel_size=1)
        self.conv3x3 = nn.Conv2d(in_channels, ch3x3, kernel_size=3, padding=1)
        self.conv5x5 = nn.Conv2d(in_channels, ch5x5, kernel_size=5, padding=2)
        self.pool = nn.MaxPool2d(3, stride=1, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        branches = (self.conv1x1, self.conv3x3, self.conv5x5, self.pool)
        return torch.cat([branch(maps) for branch in branches], dim=1)


class AuxiliaryHead(nn.Module):
    """A small classifier on the maps of 4a or 4d, for training only (section 5).

    Input (N, in_channels, 14, 14), output logits (N, num_classes). Departure from the article: it
    drops half of fc1's inputs and half of its outputs, the paper 70 % of its outputs.
    """

    def __init__(self, in_channels: int, num_classes: int):
        super().__init__()
        self.pool = nn.AvgPool2d(5, stride=3)
        self.conv, self.relu = nn.Conv2d(in_channels, 128, kernel_size=1), nn.ReLU()
        self.flatten = nn.Flatten()
        self.fc1, self.relu1 = nn.Linear(128 * 4 * 4, 1024), nn.ReLU()
        self.drop, self.fc2 = nn.Dropout(0.7), nn.Linear(1024, num_classes)

    def forward(self, maps: Tensor) -> Tensor:
        features = self.flatten(self.relu(self.conv(self.pool(maps))))
        return self.fc2(self.drop(self.relu1(self.fc1(features))))


class GoogLeNet(nn.Module):
    """GoogLeNet as Table 1 and Figure 3 have it; 13,378,280 parameters, 6,998,552 without heads.

    Input (N, 3, H, W), float, 224 pixels in the paper and 31 at least; output logits
    (N, num_classes), no softmax. `forward` never runs the heads; `forward_with_aux`, for training,
    does. It starts as PyTorch does; the article's optional start is `starts.article`.
    Departures from the paper: no LRN after pool1 and conv2.
    Departures from the article: while it trains, its forward returns a tuple (logits, aux2, aux1),
    so that each caller must know both the mode and the order; and the dropout of the heads.
    Raises ValueError for num_classes below 1, and for images of another shape.
    """

    def __init__(self, num_classes: int = 1000, aux: bool = True):
        super().__init__()
        pools = [nn.MaxPool2d(3, stride=2, ceil_mode=True) for _ in range(4)]
        self.features, maps = _features(TABLE_1, pools)
        classifier = _classifier(maps, num_classes)  # before the heads: it checks num_classes
        self.aux1 = AuxiliaryHead(512, num_classes) if aux else None
        self.aux2 = AuxiliaryHead(528, num_classes) if aux else None
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        _check_images(images, 31, " or more: pool4 expects maps of 2×2 or more")
        return self.classifier(self.features(images))

    def forward_with_aux(self, images: Tensor) -> GoogLeNetOutput:
        """The logits of network and heads for images (N, 3, 224, 224); ValueError for others."""
        if self.aux1 is None or self.aux2 is None:
            raise ValueError("aux must be True for forward_with_aux; got a network without heads")
        _check_images(images, 224, ": aux1.fc1 expects 128 maps of 4×4", most=224)
        maps = images
        for name, layer in self.features.named_children():
            maps = layer(maps)
            if name == "inception_4a":
                aux1 = self.aux1(maps)
            elif name == "inception_4d":
                aux2 = self.aux2(maps)
        return GoogLeNetOutput(self.classifier(maps), aux1, aux2)


class GoogLeNetCIFAR(nn.Module):
    """The article's GoogLeNet for 32 pixels; 5,983,802 parameters.

    Input (N, 3, H, W), float, 32 pixels in the article; output logits (N, num_classes), no
    softmax. `table=ARTICLE_TABLE` builds it as printed, with 182 in 5b: 5,940,912 parameters.
    Departures from the paper: no heads, no LRN, pools that pad or (pool1) cut where its round up.
    Departures from the article: 192 in 5b; Dropout, where it calls Dropout2d on vectors.
    Raises ValueError for num_classes below 1, and for images of another shape.
    """

    def __init__(self, num_classes: int = 10, table: Counts = TABLE_1):
        super().__init__()
        if [*table] != [*TABLE_1] or {len(row) for row in table.values()} != {6}:
            raise ValueError(f"table must have the rows and columns of TABLE_1; got {table}")
        pools = [nn.MaxPool2d(3, stride=2, padding=padding) for padding in (0, 1, 1, 1)]
        self.features, maps = _features(table, pools)
        self.classifier = _classifier(maps, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        _check_images(images, 5, " or more: pool1 expects maps of 3×3 or more")
        return self.classifier(self.features(images))


class GoogLeNetBN(nn.Module):
    """GoogLeNet made for 32 pixels, with batch norm behind each convolution (arXiv:1502.03167).

    All widths of Table 1 are divided by `part`; 378,946 parameters with 4. The first layer is 3×3
    without stride, and pool1 is left out, so that the modules see maps of 16, 8 and 4 pixels a
    side. Input (N, 3, H, W), float, 32 pixels; output logits (N, num_classes), no softmax.
    Departures from the paper: those, no heads, no LRN, no dropout. The batch norm paper also
    replaces each 5×5 by two 3×3 and lets some modules have a stride; here they are as in Table 1.
    Raises ValueError for num_classes below 1, another `part` than 1, 2, 4 or 8, and
    for images of another shape.
    """

    def __init__(self, num_classes: int = 10, part: int = 4):
        super().__init__()
        if part not in (1, 2, 4, 8):
            raise ValueError(f"part must be 1, 2, 4 or 8; got {part!r}")
        table = {
            name: (a // part, b // part, c // part, d // part, e // part, f // part)
            for name, (a, b, c, d, e, f) in TABLE_1.items()
        }
        pools = [None, *(nn.MaxPool2d(3, stride=2, padding=1) for _ in range(3))]
        self.features, maps = _features(table, pools, 64 // part, 3, 1, batch_norm=True)
        self.classifier = _classifier(maps, num_classes, dropout=0)

    def forward(self, images: Tensor) -> Tensor:
        _check_images(images, 1, " or more")
        return self.classifier(self.features(images))


def _features(
    table: Counts, pools: Sequence[nn.Module | None],
    width: int = 64, size: int = 7, stride: int = 2, batch_norm: bool = False,
) -> tuple[nn.Sequential, int]:
    """Everything before the last pool, and its maps; in_channels are derived, never typed.

    `width`, `size` and `stride` are those of the first layer; a pool that is None is left out.
    """
    layers = partial(_layers, batch_norm=batch_norm)
    steps: dict[str, nn.Module | None] = {
        **layers("conv1", "1", 3, width, size, stride), "pool1": pools[0],
        **layers("conv2_reduce", "2_reduce", width, width, 1),
        **layers("conv2", "2", width, 3 * width, 3), "pool2": pools[1],
    }
    in_channels = 3 * width
    for name, row in table.items():
        if name in ("4a", "5a"):
            steps |= {"pool3": pools[2]} if name == "4a" else {"pool4": pools[3]}
        module = Inception(in_channels, *row, batch_norm=batch_norm)
        steps[f"inception_{name}"] = module
        in_channels = module.out_channels
    return _named({name: step for name, step in steps.items() if step is not None}), in_channels


# fmt: on
def _classifier(in_features: int, num_classes: int, dropout: float = 0.4) -> nn.Sequential:
    if type(num_classes) is not int or num_classes < 1:
        raise ValueError(f"num_classes must be at least 1; got {num_classes!r}")
    drop = {"drop": nn.Dropout(dropout)} if dropout else {}
    fc = nn.Linear(in_features, num_classes)
    return _named({"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), **drop, "fc": fc})


def _check_images(images: Tensor, least: int, layer: str, most: float = float("inf")) -> None:
    got = tuple(images.shape)
    if len(got) != 4 or got[1] != 3:
        raise ValueError(f"images must be (N, 3, H, W): conv1 expects 3 channels; got {got}")
    if not least <= min(got[2:]) <= max(got[2:]) <= most:
        raise ValueError(f"images must have {least} pixels a side{layer}; got {got}")


def loss_with_aux(model: GoogLeNet, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The loss to train with (section 5), the heads' with weight 0.3, and the network's logits."""
    output = model.forward_with_aux(images)
    loss, loss1, loss2 = (F.cross_entropy(logits.float(), labels) for logits in output)
    return loss + 0.3 * (loss1 + loss2), output.logits
