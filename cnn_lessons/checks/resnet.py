"""The checks of lesson 05."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet as torchvision_resnet

from cnn_lessons.checks.common import Verdict, check_same_function, number
from cnn_lessons.models.resnet import ArticleBlock, BasicBlock, ResNetCIFAR
from cnn_lessons.shapes import ShapeError, record


def check_weight_layers(answer: int | None) -> Verdict:
    """Lesson 05: the layers with weights of ResNet-152, the shortcuts' projections included."""
    slips = {
        152: "That is what the name counts. The projections on the shortcuts have weights too.",
        155: "One is missing. conv2_x keeps its size, but its first block makes 256 maps of 64. "
        "And there is a layer before the blocks and one after them.",
        151: "You forgot the fully connected layer at the end, and the projections.",
        150: "Those are the blocks' layers alone: add conv1, the last layer and the projections.",
        102: "A bottleneck has three convolutions, not two.",
        106: "A bottleneck has three convolutions, not two.",
        202: "You counted a projection in every block. Most shortcuts are the identity.",
        153: "One projection? Look where the number of maps or their size changes.",
        154: "Two are missing: conv1 before the blocks, and the linear layer after them.",
    }
    right = "1 + 3·(3 + 8 + 36 + 3) + 1 = 152, and 4 projections: one at the start of each stage."
    wrong = "Add: conv1, three layers a block, the last layer, and a projection a stage."
    return number(answer, 156, slips, right, "Set weight_layers to a number.", wrong)


def check_projection_cost(answer: int | None) -> Verdict:
    """Lesson 05: how many parameters option B adds to a ResNet-110 for CIFAR-10."""
    slips = {
        2560: "Those are the weights of the two projections. Each has a batch norm behind it.",
        2656: "A batch norm has two learned numbers a map: a scale and a shift.",
        576: "That is the first one, 16 to 32 maps. There is another, 32 to 64.",
        2176: "That is the second one, 32 to 64 maps. There is another, 16 to 32.",
        2752 * 18: "Only the first block of a stage changes the shape; the other 17 do not.",
        23040 + 192: "The projection's kernel is 1×1, not 3×3.",
        23040: "The projection's kernel is 1×1, not 3×3. And there is a batch norm behind it.",
        3072: "conv2_x starts with 16 maps and keeps 16: no projection there.",
        0: "That is option A. Option B learns a 1×1 convolution where the shape changes.",
        1727962: "That is the whole network with option A. How much does B add?",
        1730714: "That is the whole network with option B. How much of it is new?",
        2944: "Batch norm learns two numbers a map. Its running mean and variance are not learned.",
    }
    right = "16·32 + 2·32 and 32·64 + 2·64: 2,752 in all, at every depth from 8 to 110 and beyond."
    wrong = "Two projections, 16→32 and 32→64: 1×1 weights, and two numbers a map for batch norm."
    return number(answer, 2752, slips, right, "Set added to a number.", wrong)


def check_option_a(function: Callable | None) -> Verdict:
    """Lesson 05: `function(maps)` must turn (N, 16, 32, 32) into option A's (N, 32, 16, 16)."""
    if function is None:
        return Verdict(None, "Write option_a(maps) and pass it to the check.")
    maps = torch.rand(2, 16, 32, 32, generator=torch.Generator().manual_seed(0))
    try:
        answer = function(maps.clone())
    except Exception as error:
        return Verdict(False, f"It failed: {type(error).__name__}: {error}")
    if answer is None:
        return Verdict(None, "Your function returns nothing yet.")
    if not isinstance(answer, Tensor):
        return Verdict(False, f"It must return a tensor; got {type(answer).__name__}.")
    if answer.shape != (2, 32, 16, 16):
        shape, hint = list(answer.shape), _shape_hint(tuple(answer.shape))
        return Verdict(False, f"[2, 16, 32, 32] must become [2, 32, 16, 16]; got {shape}.{hint}")
    kept, zeros = maps[:, :, ::2, ::2], torch.zeros(2, 16, 16, 16)
    if torch.equal(answer, torch.cat([kept, zeros], dim=1)):
        return Verdict(True, "Every second pixel, then 16 maps of zeros: nothing to learn.")
    slips = {
        "The zero maps are in front. Put them behind the others.": [zeros, kept],
        "The maps are there twice. The second half must be zero.": [kept, kept],
        "You took the mean of 2×2 pixels. Option A takes every second one.": [
            F.avg_pool2d(maps, 2),
            zeros,
        ],
        "You took the largest of 2×2 pixels. Option A takes every second one.": [
            F.max_pool2d(maps, 2),
            zeros,
        ],
        "You cut a corner out of the picture. Take every second pixel: maps[:, :, ::2, ::2].": [
            maps[:, :, :16, :16],
            zeros,
        ],
        "Start at pixel 0, as a convolution with stride 2 does.": [maps[:, :, 1::2, 1::2], zeros],
    }
    for hint, parts in slips.items():
        if torch.allclose(answer, torch.cat(parts, dim=1)):
            return Verdict(False, hint)
    return Verdict(False, "The shape is right, the numbers are not.")


def _shape_hint(shape: tuple[int, ...]) -> str:
    return {
        (2, 32, 32, 32): " The size must halve.",
        (2, 16, 16, 16): " The zero maps are missing.",
        (2, 48, 16, 16): " 16 zero maps are enough: 16 + 16 = 32.",
        (2, 16, 16, 32): " F.pad begins with the last axis: (0, 0, 0, 0, 0, 16) pads the maps.",
        (2, 16, 32, 16): " F.pad begins with the last axis: (0, 0, 0, 0, 0, 16) pads the maps.",
        (18, 16, 16, 16): " You padded the batch. The maps are axis 1.",
    }.get(shape, "")


class _Slip(torchvision_resnet.Bottleneck):
    """A bottleneck with a usual mistake."""

    def __init__(self, slip: str, *arguments, **named):
        super().__init__(*arguments, **named)
        self.slip = slip
        if slip == "stride":
            self.conv1.stride, self.conv2.stride = self.conv2.stride, (1, 1)

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.relu(self.bn1(self.conv1(maps)))
        if self.slip == "middle":
            inner = self.bn1(self.conv1(maps))
        inner = self.bn2(self.conv2(inner))
        residual = self.bn3(self.conv3(inner if self.slip == "middle" else self.relu(inner)))
        shortcut = self.downsample(maps) if self.downsample else maps
        if self.slip == "before":
            return self.relu(residual) + shortcut
        if self.slip == "none":
            return residual + shortcut
        return self.relu(residual if self.slip == "plain" else residual + shortcut)


SLIPS = {
    "plain": "the shortcut is not added",
    "none": "the ReLU after the addition is missing",
    "before": "the last ReLU comes after the addition, not before it",
    "middle": "there is a ReLU after each of the first two batch norms",
    "stride": "your stride is on the 1×1, as in the paper; torchvision has it on the 3×3",
}


def check_bottleneck(block: Callable | None) -> Verdict:
    """Lesson 05: `block(in_channels, channels, stride)` must equal torchvision's Bottleneck.

    Tried on a block that keeps the shape and on one that halves and widens.
    """
    if block is None:
        return Verdict(None, "Write a class Bottleneck(in_channels, channels, stride).")
    for in_channels, stride in ((64, 1), (64, 2)):
        channels = 16 if stride == 1 else 32
        size = f"Bottleneck({in_channels}, {channels}, {stride})"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            maps = torch.rand(2, in_channels, 8, 8)
            arguments = (in_channels, channels, stride, _projection(in_channels, channels, stride))
            reference = _shaken(torchvision_resnet.Bottleneck(*arguments))
        try:
            mine = block(in_channels, channels, stride)
        except Exception as error:
            return Verdict(False, f"{size} failed: {type(error).__name__}: {error}")
        if not isinstance(mine, nn.Module):
            return Verdict(False, f"{size} must give an nn.Module; got {mine!r}.")
        verdict = check_same_function(mine, reference, maps)
        if not verdict.passed:
            return Verdict(False, f"{size}: {_slip_of(mine, reference, maps, arguments, verdict)}")
    return Verdict(True, "It equals torchvision's, with the identity and with a projection.")


def _projection(in_channels: int, channels: int, stride: int) -> nn.Module | None:
    if stride == 1 and in_channels == 4 * channels:
        return None
    conv = nn.Conv2d(in_channels, 4 * channels, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(4 * channels))


def _shaken(block: nn.Module) -> nn.Module:
    """Batch norms that do something, so that a missing or misplaced one shows."""
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return block


def _slip_of(mine, reference, maps, arguments, verdict: Verdict) -> str:
    """What is wrong, in words, if it is a usual slip."""
    own, theirs = len(mine.state_dict()), len(reference.state_dict())
    if own != theirs:
        biases = [m for m in mine.modules() if isinstance(m, nn.Conv2d) and m.bias is not None]
        if biases:
            return "a convolution has a bias. The batch norm behind it shifts anyway: bias=False."
        if arguments[3] is None and own == theirs + 6:
            return "it projects although the shape stays. Here the shortcut is the identity."
        if arguments[3] is not None and own == theirs - 6:
            return "the shape changes, so the shortcut needs a 1×1 convolution and a batch norm."
        return verdict.text
    if "other outputs" not in verdict.text:
        return verdict.text
    with torch.no_grad():
        answer = mine.eval()(maps)
        for slip, words in SLIPS.items():
            other = _Slip(slip, *arguments)
            other.load_state_dict(reference.state_dict())
            result = other.eval()(maps)
            if result.shape == answer.shape and torch.allclose(result, answer, atol=1e-5):
                return f"{words}."
    return verdict.text


def check_quiet_start(function: Callable | None) -> Verdict:
    """Lesson 05: after `function(net)` each block of a new residual network must do nothing."""
    if function is None:
        return Verdict(None, "Write quiet_start(net) and pass it to the check.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = ResNetCIFAR(14)
        maps = torch.rand(2, 3, 32, 32)
        before = {name: weight.clone() for name, weight in net.named_parameters()}
        try:
            function(net)
        except Exception as error:
            return Verdict(False, f"It failed: {type(error).__name__}: {error}")
        changed = [name for name, old in before.items() if not _same(net, name, old)]
        if not changed:
            return Verdict(None, "Your function has changed no weight yet.")
        net.eval()
        blocks = [module for module in net.modules() if isinstance(module, BasicBlock)]
        maps = net.relu1(net.bn1(net.conv1(maps)))
        quiet = [_is_quiet(block, net, maps) for block in blocks]
    if not all(quiet):
        return Verdict(False, f"{quiet.count(False)} of {len(quiet)} blocks still add something.")
    last = {name.split(".")[-2] for name in changed}
    if last == {"bn2"}:
        return Verdict(True, "Each block passes its input on, and bn2's scale can grow from 0.")
    if "bn1" in last:
        return Verdict(
            False,
            "Quiet it is, but for ever: behind bn1 all is 0, so no gradient reaches its scale, for "
            "ReLU has none there. Zero the last batch norm, bn2.",
        )
    if last & {"conv1", "conv2"}:
        return Verdict(
            False,
            "Quiet it is, but batch norm divides by the spread of its input: from 0 it makes the "
            "first steps enormous. Zero the scale of bn2, not a convolution.",
        )
    return Verdict(False, f"Change the scale of bn2 and nothing else; you changed {sorted(last)}.")


def _same(net: nn.Module, name: str, old: Tensor) -> bool:
    return torch.equal(net.get_parameter(name), old)


@torch.no_grad()
def _is_quiet(block: BasicBlock, net: nn.Module, maps: Tensor) -> bool:
    if block.conv1.in_channels != maps.shape[1]:
        maps = maps.repeat(1, block.conv1.in_channels // maps.shape[1], 1, 1)
    return torch.allclose(block(maps), block.shortcut(maps), atol=1e-6)


def check_repaired(model: nn.Module | None) -> Verdict:
    """Lesson 05: the article's network, changed so that at 32 pixels no weight is dead."""
    if model is None:
        return Verdict(None, "Build a network from ArticleResNet and call it repaired.")
    if not isinstance(model, nn.Module):
        return Verdict(False, f"repaired must be a network (nn.Module); got {model!r}.")
    try:
        rows = record(model, (3, 32, 32))
    except ShapeError as error:
        return Verdict(False, f"It does not run on 3 × 32 × 32.\n{error}")
    if rows[-1].output != (2, 10):
        return Verdict(False, f"It runs, but gives {list(rows[-1].output)} and not [N, 10].")
    blocks = sum(isinstance(module, (ArticleBlock, BasicBlock)) for module in model.modules())
    if blocks != 4:
        return Verdict(False, f"The article's network has four blocks; yours has {blocks}.")
    if rows.dead:
        share = rows.dead / rows.parameters
        hint = " A smaller kernel with the same stride changes nothing."
        side = next((row.output[-1] for row in rows if row.kind == "Conv2d"), 0)
        return Verdict(
            False,
            f"{rows.dead:,} weights ({share:.1%}) are still dead: conv1 leaves {side}×{side}, and "
            f"four blocks halve it again.{hint if side == 16 else ''}",
        )
    if any(row.kind.lower() in {"upsample", "interpolate"} for row in rows):
        return Verdict(False, "It makes the pictures larger. A stem for 32 pixels costs less.")
    return Verdict(
        True, f"No dead weight among {rows.parameters:,} parameters, for {rows.macs:,} MACs."
    )
