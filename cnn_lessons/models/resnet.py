"""ResNet (He, Zhang, Ren, Sun 2015, arXiv:1512.03385): Table 1, Figure 5 and section 4.2."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from cnn_lessons.models import starts


# fmt: off
class BasicBlock(nn.Module):
    """Two 3x3 convolutions, and a shortcut around them (Figure 5, left): y = F(x) + x.

    Input (N, in_channels, H, W), output (N, channels, H / stride, W / stride), rounded up.
    `shortcut` is the paper's option where the shape changes: "A" pads with zero maps, "B" projects;
    "C" projects everywhere, and None leaves the shortcut out ("plain").
    Raises ValueError for another shortcut, and for counts below 1.
    """
    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1,
                 shortcut: str | None = "B"):
        super().__init__()
        _check_counts(in_channels=in_channels, channels=channels, stride=stride)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(channels), nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = _shortcut(in_channels, channels, stride, shortcut)
        self.relu2 = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(maps)))))
        return self.relu2(residual + self.shortcut(maps) if self.shortcut else residual)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, and a shortcut around them (Figure 5, right).

    As BasicBlock, but the output has 4 * channels maps. `stride_on` is "3x3" (called v1.5, which
    everybody trains) or "1x1" (the paper's, whose first convolution skips three of four pixels).
    """
    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1,
                 shortcut: str | None = "B", stride_on: str = "3x3"):
        super().__init__()
        _check_counts(in_channels=in_channels, channels=channels, stride=stride)
        _check_choice("stride_on", stride_on, ("3x3", "1x1"))
        stride1, stride2 = (stride, 1) if stride_on == "1x1" else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, channels, 1, stride=stride1, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(channels), nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=stride2, padding=1, bias=False)
        self.bn2, self.relu2 = nn.BatchNorm2d(channels), nn.ReLU()
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.shortcut = _shortcut(in_channels, 4 * channels, stride, shortcut)
        self.relu3 = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        residual = self.relu2(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(maps))))))
        residual = self.bn3(self.conv3(residual))
        return self.relu3(residual + self.shortcut(maps) if self.shortcut else residual)


Block = type[BasicBlock] | type[Bottleneck]
TABLE_1: dict[int, tuple[Block, tuple[int, int, int, int]]] = {
    # depth  block   conv2_x .. conv5_x
    18:  (BasicBlock, (2, 2,  2, 2)),
    34:  (BasicBlock, (3, 4,  6, 3)),
    50:  (Bottleneck, (3, 4,  6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class PadShortcut(nn.Module):
    """Option A: every stride-th pixel, and zero maps behind the others. It has no parameters."""
    kernel_size = 1

    def __init__(self, zero_maps: int, stride: int):
        super().__init__()
        self.zero_maps, self.stride = zero_maps, stride

    def forward(self, maps: Tensor) -> Tensor:
        return F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.zero_maps))


def _shortcut(in_channels: int, out_channels: int, stride: int, option: str | None) -> Any:
    _check_choice("shortcut", option, ("A", "B", "C", None))
    if option is None:
        return None
    if option != "C" and stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if option == "A":
        if out_channels < in_channels:
            raise ValueError(f"shortcut 'A' cannot lose maps; got {in_channels}, {out_channels}")
        return PadShortcut(out_channels - in_channels, stride)
    conv = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(out_channels)))


class Sliceable(nn.Module):
    """What the three networks below share: the layers in a slice, such as `net[:3]`, run alone."""

    def __getitem__(self, index: int | slice) -> nn.Module:
        return nn.Sequential(OrderedDict(self.named_children()))[index]


class ResNet(Sliceable):
    """ResNet-18, 34, 50, 101 or 152: a column of the paper's Table 1, a row of ours.

    Input (N, 3, H, W), float, 224 pixels in the paper; output logits (N, num_classes), no softmax.
    The paper's "7x7" stem divides the size by 4; the "3x3" stem keeps it, for CIFAR-10's pictures.
    For `shortcut` and `stride_on` see the blocks. It starts with the paper's weights, `starts.he`.
    Departures from the paper: it strides on the first 1x1, and takes "A" for 18 and 34. From the
    article: its "Res18" is `ArticleResNet`.
    Raises ValueError for arguments other than these, and for images without 3 channels.
    """

    def __init__(self, depth: int = 18, num_classes: int = 1000, stem: str = "7x7",
                 stride_on: str = "3x3", shortcut: str | None = "B"):
        super().__init__()
        _check_choice("depth", depth, TABLE_1)
        _check_choice("stem", stem, ("7x7", "3x3"))
        _check_choice("stride_on", stride_on, ("3x3", "1x1"))
        _check_counts(num_classes=num_classes)
        block, (n2, n3, n4, n5) = TABLE_1[depth]
        wide, self.stride_on = block.expansion, stride_on
        options: dict[str, Any] = {"shortcut": shortcut}
        if block is Bottleneck:
            options["stride_on"] = stride_on
        if stem == "7x7":
            self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        else:
            self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(64), nn.ReLU()
        self.pool1 = nn.MaxPool2d(3, stride=2, padding=1) if stem == "7x7" else None
        self.conv2_x = _stage(block, n2, 64, 64, **options)
        self.conv3_x = _stage(block, n3, 64 * wide, 128, stride=2, **options)
        self.conv4_x = _stage(block, n4, 128 * wide, 256, stride=2, **options)
        self.conv5_x = _stage(block, n5, 256 * wide, 512, stride=2, **options)
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.fc = nn.Linear(512 * wide, num_classes)
        starts.he(self)

    def forward(self, images: Tensor) -> Tensor:
        _check_images(images)
        maps = self.relu1(self.bn1(self.conv1(images)))
        if self.pool1:
            maps = self.pool1(maps)
        maps = self.conv5_x(self.conv4_x(self.conv3_x(self.conv2_x(maps))))
        return self.fc(self.flatten(self.pool(maps)))


class ResNetCIFAR(Sliceable):
    """Section 4.2's network of depth 6n + 2 for CIFAR-10: 269,722 parameters at depth 20.

    Input (N, 3, H, W), float, 32 pixels in the paper; output logits (N, num_classes), no softmax.
    Three stages of n basic blocks, 16, 32 and 64 maps wide. It starts with the paper's weights.
    Departures from the paper: none. The article has no such network.
    Raises ValueError for a depth that is not 8, 14, 20, ..., and as ResNet does.
    """

    def __init__(self, depth: int = 20, num_classes: int = 10, shortcut: str | None = "A"):
        super().__init__()
        if type(depth) is not int or depth < 8 or depth % 6 != 2:
            raise ValueError(f"depth must be 6n + 2: 8, 14, 20, 26, ...; got {depth!r}")
        _check_counts(num_classes=num_classes)
        n = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(16), nn.ReLU()
        self.conv2_x = _stage(BasicBlock, n, 16, 16, shortcut=shortcut)
        self.conv3_x = _stage(BasicBlock, n, 16, 32, stride=2, shortcut=shortcut)
        self.conv4_x = _stage(BasicBlock, n, 32, 64, stride=2, shortcut=shortcut)
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.fc = nn.Linear(64, num_classes)
        starts.he(self)

    def forward(self, images: Tensor) -> Tensor:
        _check_images(images)
        maps = self.relu1(self.bn1(self.conv1(images)))
        maps = self.conv4_x(self.conv3_x(self.conv2_x(maps)))
        return self.fc(self.flatten(self.pool(maps)))


class ArticleBlock(nn.Module):
    """The article's block: its first convolution halves the size and keeps the number of maps.

    Input (N, in_channels, H, W), output (N, channels, H / 2, W / 2), rounded up. It projects.
    """

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, stride=2, padding=1, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(in_channels), nn.ReLU()
        self.conv2 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = _shortcut(in_channels, channels, 2, "C")
        self.relu2 = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(maps)))))
        return self.relu2(residual + self.shortcut(maps))


class ArticleResNet(Sliceable):
    """The article's "Res18": four blocks that all project; 7,497,418 parameters.

    Input (N, 3, H, W), float, 32 pixels in the article; output logits (N, num_classes), no softmax.
    It has ten layers with weights, fourteen with the projections. It starts as PyTorch does.
    Departures from the paper: neither ReLU nor pool after conv1, no identity shortcut, no stage of
    64 maps, and a block's first convolution keeps the number of maps. From the article: none.
    Raises ValueError for num_classes below 1, and for images without 3 channels.
    """

    def __init__(self, num_classes: int = 10):
        super().__init__()
        _check_counts(num_classes=num_classes)
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.block1 = ArticleBlock(64, 128)
        self.block2 = ArticleBlock(128, 256)
        self.block3 = ArticleBlock(256, 512)
        self.block4 = ArticleBlock(512, 512)
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.fc = nn.Linear(512, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        _check_images(images)
        maps = self.block2(self.block1(self.bn1(self.conv1(images))))
        return self.fc(self.flatten(self.pool(self.block4(self.block3(maps)))))


def three_stages(widths: Sequence[int] = (16, 32, 64), blocks: Sequence[int] = (3, 3, 3),
                 num_classes: int = 10) -> nn.Sequential:
    """A residual network in the manner of ResNetCIFAR, with widths and depths of its own.

    A stage has so many maps and so many basic blocks; the second and the third halve the size. As
    it is, it is ResNetCIFAR(20). Input (N, 3, H, W), output logits (N, num_classes).
    Raises ValueError for other than three counts each, for counts below 1, and for falling widths.
    """
    if len(widths) != 3 or len(blocks) != 3:
        raise ValueError(f"needs three widths and three numbers of blocks; got {widths}, {blocks}")
    (w2, w3, w4), (n2, n3, n4) = widths, blocks
    return starts.he(nn.Sequential(OrderedDict(
        conv1=nn.Conv2d(3, w2, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(w2), relu1=nn.ReLU(),
        conv2_x=_stage(BasicBlock, n2, w2, w2, shortcut="A"),
        conv3_x=_stage(BasicBlock, n3, w2, w3, stride=2, shortcut="A"),
        conv4_x=_stage(BasicBlock, n4, w3, w4, stride=2, shortcut="A"),
        pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(w4, num_classes),
    )))
# fmt: on


def _stage(
    block: Block, count: int, in_channels: int, channels: int, stride: int = 1, **options: Any
) -> nn.Sequential:
    """A row of Table 1: `count` blocks of so many channels, of which the first may stride."""
    _check_counts(blocks=count)
    first = block(in_channels, channels, stride, **options)
    wide = channels * block.expansion
    return nn.Sequential(first, *(block(wide, channels, **options) for _ in range(count - 1)))


def _check_images(images: Tensor) -> None:
    if images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        got = tuple(images.shape)
        raise ValueError(f"images must be (N, 3, H, W): conv1 expects 3 channels; got {got}")


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if type(value) is not int or value < 1:
            raise ValueError(f"{name} must be at least 1; got {value!r}")


def _check_choice(name: str, value: object, allowed: Iterable[object]) -> None:
    if value not in list(allowed):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")
