"""LeNet-5 (LeCun, Bottou, Bengio, Haffner 1998, doi:10.1109/5.726791): Figure 2 and Table I."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnn_lessons.models import starts

# Table I: which of the six S2 maps (rows) each of the sixteen C3 maps (columns) reads.
# fmt: off
TABLE_1 = """
    X . . . X X X . . X X X X . X X
    X X . . . X X X . . X X X X . X
    X X X . . . X X X . . X . X X X
    . X X X . . X X X X . . X . X X
    . . X X X . . X X X X . X X . X
    . . . X X X . . X X X X . X X X
"""

# Figure 3 shows pictures of 7x12 points, one a class, that F6 has to reproduce. These are our own
# drawings of the ten digits: # is +1, . is -1.
DIGITS = """
    ....... ....... ....... ....... ....... ....... ....... ....... ....... .......
    ..###.. ...#... ..###.. ..###.. .....#. .#####. ..###.. .#####. ..###.. ..###..
    .#...#. ..##... .#...#. .#...#. ....##. .#..... .#...#. .....#. .#...#. .#...#.
    #.....# .#.#... #.....# ......# ...#.#. .#..... #...... .....#. #.....# #.....#
    #.....# ...#... ......# .....#. ..#..#. .####.. #...... ....#.. .#...#. #.....#
    #.....# ...#... .....#. ...##.. .#...#. .....#. #.###.. ....#.. ..###.. .#...##
    #.....# ...#... ....#.. .....#. #....#. ......# ##...#. ...#... .#...#. ..###.#
    #.....# ...#... ...#... ......# ####### ......# #.....# ...#... #.....# ......#
    #.....# ...#... ..#.... ......# .....#. ......# #.....# ..#.... #.....# ......#
    .#...#. ...#... .#..... .#...#. .....#. .#...#. .#...#. ..#.... .#...#. .#...#.
    ..###.. .#####. ####### ..###.. .....#. ..###.. ..###.. ..#.... ..###.. ..###..
    ....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""
# fmt: on


class LeNet5(nn.Module):
    """The article's LeNet-5: Figure 2's seven layers for colour pictures and today's layers.

    Input (N, in_channels, 32, 32), float; output logits (N, num_classes), no softmax.
    Departures from the paper: colour, max-pooling for its trainable sub-sampling, no squashing up
    to S4, ReLU for it after C5 and F6, all six S2 maps for every C3 map, a linear layer for C5 as a
    convolution, and a linear output for its RBF units.
    Departures from the article: none; `activation=nn.ReLU` adds what the article leaves out.
    Raises ValueError for counts below 1, and for images of another shape.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, activation: type | None = None):
        super().__init__()
        for name, value in (("num_classes", num_classes), ("in_channels", in_channels)):
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} must be at least 1; got {value!r}")
        if not (activation is None or isinstance(activation, type)):
            raise ValueError(f"activation must be None or a class, as nn.ReLU; got {activation!r}")
        self.in_channels = in_channels
        # fmt: off
        features = OrderedDict(
            c1=nn.Conv2d(in_channels, 6, kernel_size=5), activation1=activation and activation(),
            s2=nn.MaxPool2d(2),
            c3=nn.Conv2d(6, 16, kernel_size=5), activation3=activation and activation(),
            s4=nn.MaxPool2d(2),
        )
        self.features = nn.Sequential(OrderedDict((n, f) for n, f in features.items() if f))
        self.classifier = nn.Sequential(OrderedDict(
            flatten=nn.Flatten(), c5=nn.Linear(16 * 5 * 5, 120), relu5=nn.ReLU(),
            f6=nn.Linear(120, 84), relu6=nn.ReLU(), output=nn.Linear(84, num_classes),
        ))
        # fmt: on

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1:] != (self.in_channels, 32, 32):
            raise ValueError(
                f"images must be (N, {self.in_channels}, 32, 32): c1 reads {self.in_channels} "
                f"channels and c5 reads 16 maps of 5×5; got {tuple(images.shape)}"
            )
        return self.classifier(self.features(images))


class LeNet5Original(nn.Module):
    """LeNet-5 as Figure 2, Table I and section II.B of the paper describe it: 60,000 weights.

    Input (N, 1, 32, 32), float, the paper scales it to about -0.1 (paper) .. 1.175 (ink); output
    logits (N, 10): minus the squared distance between F6's 84 values and each digit's picture, so
    that the nearest class has the largest logit. (The paper's outputs are the distances.)
    Departure: the digits' pictures are drawn by us, the paper prints them only as Figure 3.
    Raises ValueError for images of another shape.
    """

    def __init__(self):
        super().__init__()
        self.c1, self.squash1 = nn.Conv2d(1, 6, kernel_size=5), ScaledTanh()
        self.s2, self.squash2 = Subsampling(6), ScaledTanh()
        self.c3, self.squash3 = TableConv2d(TABLE_1, kernel_size=5), ScaledTanh()
        self.s4, self.squash4 = Subsampling(16), ScaledTanh()
        self.c5, self.squash5 = nn.Conv2d(16, 120, kernel_size=5), ScaledTanh()
        self.flatten = nn.Flatten()
        self.f6, self.squash6 = nn.Linear(120, 84), ScaledTanh()
        self.output = RBF(DIGITS)
        starts.lecun(self)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1:] != (1, 32, 32):
            raise ValueError(
                "images must be (N, 1, 32, 32): c1 reads one channel and c5 reads maps of 5×5; "
                f"got {tuple(images.shape)}"
            )
        maps = self.squash2(self.s2(self.squash1(self.c1(images))))
        maps = self.squash4(self.s4(self.squash3(self.c3(maps))))
        features = self.flatten(self.squash5(self.c5(maps)))
        return self.output(self.squash6(self.f6(features)))


class ScaledTanh(nn.Module):
    """The paper's squashing function 1.7159 tanh(2/3 a) (appendix A): it takes 1 to 1, -1 to -1."""

    def forward(self, activations: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(activations * 2 / 3)


class Subsampling(nn.Module):
    """S2 and S4: the sum of each 2x2 square, times one trainable weight, plus one bias, per map."""

    kernel_size, stride, fan_in = 2, 2, 4

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1) / 4)
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        return self.weight * F.avg_pool2d(maps, 2, divisor_override=1) + self.bias


class TableConv2d(nn.Module):
    """C3: a convolution in which each output map reads only the input maps that a table lists.

    The weights are those of the listed connections alone, (connections, kernel, kernel). For the
    arithmetic they are put into a full kernel whose other entries are zero.
    """

    stride = 1
    reads: Tensor

    def __init__(self, table: str, kernel_size: int):
        super().__init__()
        self.kernel_size = kernel_size
        columns = zip(*(row.split() for row in table.split("\n")[1:-1]))
        reads = [[cell == "X" for cell in column] for column in columns]
        fan_in = [sum(maps) * kernel_size**2 for maps in reads for read in maps if read]
        self.register_buffer("reads", torch.tensor(reads), persistent=False)
        self.register_buffer("fan_in", torch.tensor(fan_in).view(-1, 1, 1), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(fan_in), kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(len(reads)))

    @property
    def kernel(self) -> Tensor:
        """The full kernel (maps made, maps read, kernel, kernel), zero where nothing is read."""
        kernel = self.weight.new_zeros(*self.reads.shape, self.kernel_size, self.kernel_size)
        return kernel.masked_scatter(self.reads[:, :, None, None], self.weight)

    def forward(self, maps: Tensor) -> Tensor:
        return F.conv2d(maps, self.kernel, self.bias)


class RBF(nn.Module):
    """The output: minus the squared distance of the input (N, 84) to each class's fixed picture."""

    centres: Tensor

    def __init__(self, pictures: str):
        super().__init__()
        rows = [line.split() for line in pictures.split("\n")[1:-1]]
        points = [[point == "#" for row in rows for point in row[k]] for k in range(len(rows[0]))]
        self.register_buffer("centres", torch.tensor(points).float() * 2 - 1)

    def forward(self, features: Tensor) -> Tensor:
        return -(features[:, None] - self.centres).square().sum(dim=2)
