"""The checks of lesson 05: right answers pass in any form, and each slip gets its own sentence."""

from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet as torchvision_resnet

from cnn_lessons import checks
from cnn_lessons.checks import resnet
from cnn_lessons.models import ArticleResNet, BasicBlock, ResNet, ResNetCIFAR
from cnn_lessons.models.resnet import Bottleneck as OurBottleneck
from tests.verdicts import ChecksOfALesson, assert_right, assert_wrong, broken, nothing, prints

# --- option A -----------------------------------------------------------------------------------


def skip(maps):
    return maps[:, :, ::2, ::2]


def behind(maps, count=16, front=0, value=0.0):
    """So many maps of zeros behind the others, and in front of them."""
    return F.pad(maps, (0, 0, 0, 0, front, count), value=value)


def into_zeros(maps):
    """A right answer in another style."""
    out = torch.zeros(len(maps), 32, maps.shape[2] // 2, maps.shape[3] // 2)
    out[:, :16] = maps[:, :, 0::2, 0::2]
    return out


def for_two_pictures(maps):
    return torch.cat([skip(maps), torch.zeros(2, 16, 16, 16)], dim=1)


# --- bottlenecks --------------------------------------------------------------------------------


class Block(nn.Module):
    """Figure 5's bottleneck; each argument behind the stride may be a slip.

    `stride_on` is the convolution with the stride, `relus` says which of three there are, `needs`
    when there is a projection, `first` creates the shortcut before the rest.
    """

    def __init__(
        self, in_channels, channels, stride, widen=4, bias=False, stride_on=2, padding=1,
        needs=lambda stride, widens: stride > 1 or widens, projection_stride=True, norm=True,
        first=False, relus=(True, True, True), adds=True, relu_before=False, runs_first=False,
    ):  # fmt: skip
        super().__init__()
        out, self.relus, self.adds, self.relu_before = widen * channels, relus, adds, relu_before
        self.runs_first = runs_first
        self.shortcut = nn.Identity()
        projection = nn.Identity()
        if needs(stride, in_channels != out):
            conv = nn.Conv2d(in_channels, out, 1, stride if projection_stride else 1, bias=bias)
            projection = nn.Sequential(conv, *([nn.BatchNorm2d(out)] if norm else []))
        if first:
            self.shortcut = projection
        strides = [stride if stride_on in (place, "all") else 1 for place in (1, 2, 3)]
        self.conv1 = nn.Conv2d(in_channels, channels, 1, strides[0], bias=bias)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, strides[1], padding, bias=bias)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out, 1, strides[2], bias=bias)
        self.bn3 = nn.BatchNorm2d(out)
        if not first:
            del self.shortcut
            self.shortcut = projection

    def forward(self, x):
        first, second, third = (F.relu if there else nn.Identity() for there in self.relus)
        beside = self.shortcut(x) if self.runs_first else None
        residual = second(self.bn2(self.conv2(first(self.bn1(self.conv1(x))))))
        residual = self.bn3(self.conv3(residual))
        if self.relu_before:
            return F.relu(residual) + self.shortcut(x)
        if not self.adds:
            return F.relu(residual)
        return third(residual + (self.shortcut(x) if beside is None else beside))


class FromParts(nn.Module):
    """A right block in another style: two nn.Sequentials and an addition in place."""

    def __init__(self, in_channels, channels, stride):
        super().__init__()
        conv = partial(nn.Conv2d, bias=False)
        self.main = nn.Sequential(
            conv(in_channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU(),
            conv(channels, channels, 3, stride, 1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True),
            conv(channels, 4 * channels, 1), nn.BatchNorm2d(4 * channels),
        )  # fmt: skip
        same = stride == 1 and in_channels == 4 * channels
        side = (conv(in_channels, 4 * channels, 1, stride), nn.BatchNorm2d(4 * channels))
        self.side = None if same else nn.Sequential(*side)

    def forward(self, x):
        identity = x if self.side is None else self.side(x)
        out = self.main(x)
        out += identity
        return out.relu_()


def of_torchvision(in_channels, channels, stride):
    side = None
    if stride > 1 or in_channels != 4 * channels:
        conv = nn.Conv2d(in_channels, 4 * channels, 1, stride, bias=False)
        side = nn.Sequential(conv, nn.BatchNorm2d(4 * channels))
    return torchvision_resnet.Bottleneck(in_channels, channels, stride, side)


def projecting_by_3x3(in_channels, channels, stride):
    block = Block(in_channels, channels, stride)
    if not isinstance(block.shortcut, nn.Identity):
        conv = nn.Conv2d(in_channels, 4 * channels, 3, stride, padding=1, bias=False)
        block.shortcut[0] = conv
    return block


class NormedLast(Block):
    def forward(self, x):
        residual = self.bn2(F.relu(self.conv2(self.bn1(F.relu(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(residual)) + self.shortcut(x))


class Basic(nn.Module):
    """Figure 5's basic block; each argument behind the stride may be a slip."""

    def __init__(
        self, in_channels, channels, stride=1, needs=lambda stride, widens: stride > 1 or widens,
        bias=False, norm=True, projection_stride=True, relus=(True, True), adds=True, first=False,
        relu_before=False, strides=None, size=1,
    ):  # fmt: skip
        super().__init__()
        self.relus, self.adds, self.relu_before = relus, adds, relu_before
        self.first, side = first, nn.Identity()
        if needs(stride, in_channels != channels):
            step = stride if projection_stride else 1
            conv = nn.Conv2d(in_channels, channels, size, step, padding=size // 2, bias=bias)
            side = nn.Sequential(conv, *([nn.BatchNorm2d(channels)] if norm else []))
        if first:
            self.shortcut = side
        one, two = strides or (stride, 1)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, one, padding=1, bias=bias)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, two, padding=1, bias=bias)
        self.bn2 = nn.BatchNorm2d(channels)
        if not first:
            self.shortcut = side

    def forward(self, x):
        first, last = (F.relu if there else nn.Identity() for there in self.relus)
        beside = self.shortcut(x)
        residual = self.bn2(self.conv2(first(self.bn1(self.conv1(x)))))
        if self.relu_before:
            return F.relu(residual) + beside
        return last(residual + beside) if self.adds else last(residual)


class Unwritten(Basic):
    def forward(self, x):
        return None


def twice_strided(in_channels, channels, stride=1):
    return Basic(in_channels, channels, stride, strides=(stride, stride))


class Gap(Basic):
    """The cell as it is given, with forward alone filled in."""

    def __init__(self, in_channels, channels, stride=1):
        super().__init__(in_channels, channels, stride)
        self.shortcut = None


# --- starts and repairs -------------------------------------------------------------------------


def every_block(change):
    def start(net):
        for module in net.modules():
            if hasattr(module, "bn2"):
                change(module)

    return start


def zero(*names):
    """Fill these weights of every block with zeros."""
    return every_block(lambda block: [nn.init.zeros_(block.get_parameter(n)) for n in names])


def frozen(block):
    nn.init.zeros_(block.bn2.weight).requires_grad_(False)


def new_parameter(block):
    block.bn2.weight = nn.Parameter(torch.zeros_like(block.bn2.weight))


def without_no_grad(block):
    block.bn2.weight.fill_(0)


def number_for_parameter(block):
    block.bn2.weight = 0


def other_layers(block):
    block.conv2, block.bn2 = nn.Identity(), nn.Identity()


def by_name(net):
    for name, weight in net.named_parameters():
        if name.endswith("bn2.weight"):
            weight.data.zero_()


class Later(partial):
    """An answer that is made where it is judged: networks of 30 MB do not wait in a table."""


def made(answer):
    return answer() if isinstance(answer, Later) else answer


def stem(size, stride, padding=None, then=(), before=(), **settings):
    net = ArticleResNet(**settings)
    padding = size // 2 if padding is None else padding
    net.conv1 = nn.Conv2d(3, 64, size, stride, padding, bias=False)
    return nn.Sequential(*before, net, *then) if then or before else net


def in_silence():
    """The last block no longer halves, but its shortcut does: one number is added to four."""
    net = ArticleResNet()
    net.block4.conv1 = nn.Conv2d(512, 512, 3, padding=1, bias=False)
    return net


def bn2_asleep(block):
    nn.init.zeros_(block.bn2.weight)
    block.bn2.bias.requires_grad_(False)


RIGHT = [
    (checks.check_weight_layers, 156),
    (checks.check_weight_layers, torch.tensor(156)),
    (checks.check_projection_cost, 2752),
    (checks.check_projection_cost, 2752.0),
    (checks.check_option_a, lambda maps: behind(skip(maps))),
    (checks.check_option_a, lambda maps: torch.cat([skip(maps), 0 * skip(maps)], dim=1)),
    (checks.check_option_a, into_zeros),
    (checks.check_option_a, lambda maps: behind(skip(maps)).numpy()),
    (checks.check_bottleneck, Block),
    (checks.check_bottleneck, partial(Block, first=True)),
    (checks.check_bottleneck, FromParts),
    (checks.check_bottleneck, of_torchvision),
    (checks.check_bottleneck, OurBottleneck),
    (checks.check_quiet_start, zero("bn2.weight")),
    (checks.check_quiet_start, every_block(new_parameter)),
    (checks.check_quiet_start, by_name),
    (checks.check_repaired, Later(stem, 3, 1)),
    (checks.check_repaired, Later(stem, 7, 1)),
    (checks.check_repaired, Later(stem, 5, 1, padding=0)),
    (checks.check_residual_block, Basic),
    (checks.check_residual_block, partial(Basic, first=True)),
    (checks.check_residual_block, BasicBlock),
    (checks.check_bottleneck, partial(Block, first=True, runs_first=True)),
    (checks.check_bottleneck, partial(Block, runs_first=True)),
]


WRONG = [
    # the check, an answer, words that the message must have, words that it must not have
    (checks.check_weight_layers, 152, "what the name counts", "missing"),
    (checks.check_weight_layers, 1 + 150 + 1 + 3, "256 maps of 64", "name counts"),
    (checks.check_weight_layers, 1 + 150, "fully connected layer at the end", "name counts"),
    (checks.check_weight_layers, 150, "blocks' layers alone", "two."),
    (checks.check_weight_layers, 1 + 100 + 1, "three convolutions, not two", "alone"),
    (checks.check_weight_layers, 1 + 100 + 1 + 4, "three convolutions, not two", "alone"),
    (checks.check_weight_layers, 152 + 50, "in every block", "One projection"),
    (checks.check_weight_layers, 152 + 1, "One projection?", "every block"),
    (checks.check_weight_layers, 150 + 4, "Two are missing", "One"),
    (checks.check_weight_layers, 7, "Add: conv1", "missing"),
    (checks.check_projection_cost, 16 * 32 + 32 * 64, "has a batch norm", "1×1, not"),
    (checks.check_projection_cost, 2560 + 32 + 64, "two learned numbers a map", "running"),
    (checks.check_projection_cost, 16 * 32 + 2 * 32, "first one, 16 to 32", "second"),
    (checks.check_projection_cost, 32 * 64 + 2 * 64, "second one, 32 to 64", "first one"),
    (checks.check_projection_cost, 18 * 2752, "first block of a stage", "conv2_x"),
    (checks.check_projection_cost, 9 * 2560 + 192, "not 3×3.", "And there"),
    (checks.check_projection_cost, 9 * 2560, "not 3×3. And there is a batch norm", "learned"),
    (checks.check_projection_cost, 2752 + 16 * 16 + 2 * 32, "keeps 16", "first block"),
    (checks.check_projection_cost, 2752 + 32 + 64, "has no bias", "running"),
    (checks.check_projection_cost, 2560 + 2 * 192, "running mean", "two learned"),
    (checks.check_projection_cost, 0, "option A. Option B", "whole"),
    (checks.check_projection_cost, 1_727_962, "with option A. How much", "is new"),
    (checks.check_projection_cost, 1_727_962 + 2752, "with option B", "with option A"),
    (checks.check_projection_cost, 9, "Two projections", "whole"),
    (checks.check_option_a, lambda m: behind(skip(m), 0, 16), "in front", "both sides"),
    (checks.check_option_a, lambda m: behind(skip(m), 8, 8), "on both sides", "in front"),
    (checks.check_option_a, lambda m: skip(m).repeat(1, 2, 1, 1), "there twice", "enough"),
    (checks.check_option_a, lambda m: behind(F.avg_pool2d(m, 2)), "the mean", "largest"),
    (checks.check_option_a, lambda m: behind(F.max_pool2d(m, 2)), "the largest", "mean"),
    (checks.check_option_a, lambda m: behind(m[:, :, :16, :16]), "16 rows", "a corner"),
    (checks.check_option_a, lambda m: behind(m[:, :, : m.shape[2] // 2, : m.shape[3] // 2]),
     "a corner", "16 rows"),
    (checks.check_option_a, lambda m: behind(m[:, :, 1::2, 1::2]), "Start at pixel 0", "corner"),
    (checks.check_option_a, behind, "must halve", "Only"),
    (checks.check_option_a, lambda m: behind(m[:, :, :, ::2]), "Only the width", "Only the height"),
    (checks.check_option_a, lambda m: behind(m[:, :, ::2]), "Only the height", "Only the width"),
    (checks.check_option_a, skip, "zero maps are missing", "enough"),
    (checks.check_option_a, lambda m: behind(skip(m), 32), "16 zero maps are enough", "missing"),
    (checks.check_option_a, lambda m: F.pad(skip(m), (0, 16)), "last axis", "height."),
    (checks.check_option_a, lambda m: F.pad(skip(m), (0, 0, 0, 16)),
     "last axis|the height", "batch"),
    (checks.check_option_a, lambda m: F.pad(skip(m), (0, 0, 0, 0, 0, 0, 0, 16)), "padded the batch",
     "last axis"),
    (checks.check_option_a, lambda m: behind(skip(m), value=1.0),
     "1 at [0, 16, 0, 0]; 0 is", "times"),
    (checks.check_option_a, lambda m: nn.Conv2d(16, 32, 1, 2)(m), "nothing to learn", "Seen"),
    (checks.check_option_a, for_two_pictures, "[3, 16, 32, 20]|`", "Seen"),
    (checks.check_option_a, lambda m: behind(skip(m.mul_(2))), "changes what it is given", "times"),
    (checks.check_option_a, lambda m: 7, "[]", "times"),
    (checks.check_option_a, prints, "prints", "attempted"),
    (checks.check_option_a, broken, "ZeroDivisionError|maps [2, 16, 32, 32]", "Seen"),
    (checks.check_bottleneck, partial(Block, widen=1), "makes 4 * channels", "project"),
    (checks.check_bottleneck, partial(Block, bias=True), "has a bias", "behind each"),
    (checks.check_bottleneck, partial(Block, padding=0), "padding=1", "stride"),
    (checks.check_bottleneck, partial(Block, needs=lambda stride, widens: True),
     "(64, 16, 1)|although the shape stays", "changes"),
    (checks.check_bottleneck, partial(Block, needs=lambda stride, widens: False),
     "(64, 16, 2)|needs a projection", "although"),
    (checks.check_bottleneck, partial(Block, needs=lambda stride, widens: stride > 1),
     "(64, 32, 1)|needs a projection", "although"),
    (checks.check_bottleneck, partial(Block, needs=lambda stride, widens: widens),
     "(64, 16, 2)|needs a projection", "although"),
    (checks.check_bottleneck, partial(Block, norm=False), "stands behind each convolution", "bias"),
    (checks.check_bottleneck, partial(Block, stride_on=1), "as|the first|on the 3×3", "projection"),
    (checks.check_bottleneck, partial(Block, stride_on=3), "on a 1×1|on the 3×3", "projection"),
    (checks.check_bottleneck, partial(Block, projection_stride=False), "and to the projection",
     "paper"),
    (checks.check_bottleneck, partial(Block, relus=(False, True, True)), "first two batch norms",
     "addition"),
    (checks.check_bottleneck, partial(Block, relus=(True, False, True)), "first two batch norms",
     "addition"),
    (checks.check_bottleneck, partial(Block, relus=(True, True, False)), "addition is missing",
     "first two"),
    (checks.check_bottleneck, partial(Block, relu_before=True), "not before it", "missing"),
    (checks.check_bottleneck, partial(Block, adds=False), "shortcut is not added", "ReLU"),
    (checks.check_bottleneck, projecting_by_3x3, "The projection is 1×1", "stride"),
    (checks.check_bottleneck, NormedLast, "Up to conv1 (Conv2d) they agree|bn1", "first two"),
    (checks.check_bottleneck, Block(64, 16, 1), "the class itself", "failed"),
    (checks.check_bottleneck, lambda a, b: Block(a, b, 1), "TypeError|(64, 16, 1)", "nn.Module"),
    (checks.check_bottleneck, lambda *sizes: 7, "must give an nn.Module; got 7", "failed"),
    (checks.check_bottleneck, nothing, "must give an nn.Module; got None", "failed"),
    (checks.check_bottleneck, broken, "ZeroDivisionError|(64, 16, 1)", "nn.Module"),
    (checks.check_quiet_start, zero("bn1.weight"), "for ever|bn2", "enormous"),
    (checks.check_quiet_start, zero("bn1.weight", "bn2.weight"), "for ever|bn2", "enormous"),
    (checks.check_quiet_start, zero("conv2.weight"), "enormous|not a convolution", "for ever"),
    (checks.check_quiet_start, zero("conv1.weight"), "enormous|not a convolution", "for ever"),
    (checks.check_quiet_start, every_block(frozen), "frozen|bn2.weight", "for ever"),
    (checks.check_quiet_start, every_block(lambda block: nn.init.dirac_(block.conv2.weight)),
     "6 of 6 blocks", "frozen"),
    (checks.check_quiet_start, lambda net: nn.init.zeros_(net.conv2_x[0].bn2.weight),
     "5 of 6 blocks", "frozen"),
    (checks.check_quiet_start, lambda net: [zero("bn2.weight")(net), nn.init.ones_(net.fc.bias)],
     "nothing else|'fc'", "still add"),
    (checks.check_quiet_start, every_block(without_no_grad), "nn.init.zeros_", "still add"),
    (checks.check_quiet_start, every_block(number_for_parameter), "nn.init.zeros_", "still add"),
    (checks.check_quiet_start, every_block(other_layers), "other weights now", "still add"),
    (checks.check_quiet_start, prints, "prints", "attempted"),
    (checks.check_quiet_start, broken, "ZeroDivisionError", "blocks"),
    (checks.check_quiet_start, every_block(bn2_asleep), "frozen|bn2.bias", "still add"),
    (checks.check_repaired, Later(ArticleResNet), "3,407,872|45.5%|16×16", "larger"),
    (checks.check_repaired, Later(stem, 3, 2), "smaller kernel with the same stride", "larger"),
    (checks.check_repaired, Later(stem, 7, 4), "conv1 leaves 8×8", "smaller kernel"),
    (checks.check_repaired, Later(stem, 7, 2, before=[nn.Upsample(scale_factor=2)]), "larger",
     "dead"),
    (checks.check_repaired, Later(in_silence), "block4.add|1×1 and 2×2|in silence", "larger"),
    (checks.check_repaired, Later(stem, 3, 1, then=[nn.Softmax(dim=1)]), "softmax", "dead"),
    (checks.check_repaired, Later(stem, 3, 1, then=[nn.ReLU()]), "last step is ReLU", "dead"),
    (checks.check_repaired, Later(ResNetCIFAR, 20), "four blocks; yours has 9", "dead"),
    (checks.check_repaired, Later(stem, 3, 1, num_classes=5), "[N, 5]", "dead"),
    (checks.check_repaired, Later(stem, 3, 1, before=[nn.Conv2d(1, 3, 1)]), "does not run", "dead"),
    (checks.check_repaired, ArticleResNet, "a class|ArticleResNet()", "run"),
    (checks.check_bottleneck, partial(Block, stride_on="all"), "the 3×3 and to the projection",
     "paper"),
    (checks.check_bottleneck, partial(Block, first=True, relus=(True, True, False)),
     "addition is missing", "in this order"),
    (checks.check_bottleneck,
     partial(Block, first=True, runs_first=True, relus=(True, False, True)),
     "first two batch norms", "in this order"),
    (checks.check_residual_block, partial(Basic, needs=lambda stride, widens: stride > 1),
     "(64, 128, 1)|needs a projection", "although"),
    (checks.check_residual_block, partial(Basic, needs=lambda stride, widens: widens),
     "(64, 64, 2)|needs a projection", "although"),
    (checks.check_residual_block, partial(Basic, needs=lambda stride, widens: True),
     "(64, 64, 1)|although the shape stays", "changes"),
    (checks.check_residual_block, partial(Basic, projection_stride=False),
     "the first 3×3 and to the projection", "1×1 (the paper"),
    (checks.check_residual_block, twice_strided, "the first 3×3 and to the projection", "missing"),
    (checks.check_residual_block, partial(Basic, norm=False), "stands behind each", "bias"),
    (checks.check_residual_block, partial(Basic, bias=True), "has a bias", "behind each conv"),
    (checks.check_residual_block, partial(Basic, size=3), "The projection is 1×1", "stride"),
    (checks.check_residual_block, partial(Basic, adds=False), "shortcut is not added", "ReLU"),
    (checks.check_residual_block, partial(Basic, relus=(False, True)),
     "after the first batch norm, and", "missing"),
    (checks.check_residual_block, partial(Basic, relus=(True, False)), "addition is missing",
     "first batch"),
    (checks.check_residual_block, partial(Basic, relu_before=True), "not before it", "missing"),
    (checks.check_residual_block, Gap, "NoneType|self.shortcut(x)", "attempted"),
    (checks.check_residual_block, Basic(64, 64), "the class itself", "failed"),
    (checks.check_residual_block, broken, "ZeroDivisionError", "nn.Module"),
]  # fmt: skip


NOT_YET = [
    (checks.check_weight_layers, None, "weight_layers"),
    (checks.check_projection_cost, None, "added"),
    (checks.check_option_a, None, "option_a"),
    (checks.check_option_a, nothing, "returns nothing yet"),
    (checks.check_bottleneck, None, "Bottleneck(in_channels, channels, stride)"),
    (checks.check_residual_block, None, "what forward returns"),
    (checks.check_residual_block, Unwritten, "forward returns nothing yet"),
    (checks.check_quiet_start, None, "quiet_start"),
    (checks.check_quiet_start, nothing, "changed no weight yet"),
    (checks.check_repaired, None, "repaired"),
]


class TestTheChecks(ChecksOfALesson):
    lesson, right, wrong, not_yet = resnet, RIGHT, WRONG, NOT_YET

    def test_right_answers_in_every_form(self, form):
        check, answer = form
        assert_right(check, made(answer))

    def test_each_slip_has_its_sentence(self, slip):
        check, answer, *says = slip
        assert_wrong(check, made(answer), *says)


def test_the_numbers_are_those_of_the_networks():
    with torch.device("meta"):
        deep = ResNet(152)
        cost = [sum(p.numel() for p in ResNetCIFAR(110, shortcut=s).parameters()) for s in "BA"]
    layers = sum(isinstance(layer, (nn.Conv2d, nn.Linear)) for layer in deep.modules())
    assert checks.check_weight_layers(layers).passed
    assert checks.check_projection_cost(cost[0] - cost[1]).passed
