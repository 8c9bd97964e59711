"""The checks of lesson 05."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet as torchvision_resnet

from cnn_lessons.checks.functions import begun, built, call, same, tried
from cnn_lessons.checks.modules import enlarges, evaluating, network, same_function
from cnn_lessons.checks.numbers import number
from cnn_lessons.checks.verdict import Unfinished, Wrong, check
from cnn_lessons.models.resnet import ResNetCIFAR
from cnn_lessons.shapes import ShapeError, record


@check("Set weight_layers to a number.")
def check_weight_layers(answer: int) -> str:
    """Lesson 05: the layers with weights of ResNet-152, the shortcuts' projections included."""
    outcomes = {
        156: "1 + 3·(3 + 8 + 36 + 3) + 1 = 152, and 4 projections: one at the start of each stage.",
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
    wrong = "Add: conv1, three layers a block, the last layer, and a projection a stage."
    return number(answer, outcomes, wrong)


@check("Set added to a number.")
def check_projection_cost(answer: int) -> str:
    """Lesson 05: how many parameters option B adds to a ResNet-110 for CIFAR-10."""
    outcomes = {
        2752: "16·32 + 2·32 and 32·64 + 2·64: 2,752 in all, at every depth, 8 or 110.",
        2560: "Those are the weights of the two projections. Each has a batch norm behind it.",
        2656: "A batch norm has two learned numbers a map: a scale and a shift.",
        576: "That is the first one, 16 to 32 maps. There is another, 32 to 64.",
        2176: "That is the second one, 32 to 64 maps. There is another, 16 to 32.",
        2752 * 18: "Only the first block of a stage changes the shape; the other 17 do not.",
        23040 + 192: "The projection's kernel is 1×1, not 3×3.",
        23040: "The projection's kernel is 1×1, not 3×3. And there is a batch norm behind it.",
        3072: "conv2_x starts with 16 maps and keeps 16: no projection there.",
        2848: "A projection has no bias: the batch norm behind it shifts anyway.",
        0: "That is option A. Option B learns a 1×1 convolution where the shape changes.",
        1727962: "That is the whole network with option A. How much does B add?",
        1730714: "That is the whole network with option B. How much of it is new?",
        2944: "Batch norm learns two numbers a map. Its running mean and variance are not learned.",
    }
    wrong = "Two projections, 16→32 and 32→64: 1×1 weights, and two numbers a map for batch norm."
    return number(answer, outcomes, wrong)


def _padded(kept: Tensor, front: int = 0, behind: int = 16) -> Tensor:
    return F.pad(kept, (0, 0, 0, 0, front, behind))


def _option_a(maps: Tensor) -> Tensor:
    return _padded(maps[:, :, ::2, ::2])


LAST_AXIS_FIRST = "F.pad begins with the last axis: (0, 0, 0, 0, 0, 16) pads the maps."
OPTION_A_SLIPS = {
    "The zero maps are in front. Put them behind the others.":
        lambda m: _padded(m[:, :, ::2, ::2], 16, 0),
    "The zero maps stand on both sides. Put all 16 behind the others.":
        lambda m: _padded(m[:, :, ::2, ::2], 8, 8),
    "The maps are there twice. The second half must be zero.":
        lambda m: m[:, :, ::2, ::2].repeat(1, 2, 1, 1),
    "You took the mean of 2×2 pixels. Option A takes every second one.":
        lambda m: _padded(F.avg_pool2d(m, 2)),
    "You took the largest of 2×2 pixels. Option A takes every second one.":
        lambda m: _padded(F.max_pool2d(m, 2)),
    "You cut out 16 rows and columns. Take every second pixel: maps[:, :, ::2, ::2].":
        lambda m: _padded(m[:, :, :16, :16]),
    "You cut a corner out of the picture. Take every second pixel: maps[:, :, ::2, ::2].":
        lambda m: _padded(m[:, :, : m.shape[2] // 2, : m.shape[3] // 2]),
    "Start at pixel 0, as a convolution does.": lambda m: _padded(m[:, :, 1::2, 1::2]),
    "The size must halve, in height and width.": lambda m: _padded(m),
    "Only the width is halved. The height halves too.": lambda m: _padded(m[:, :, :, ::2]),
    "Only the height is halved. The width halves too.": lambda m: _padded(m[:, :, ::2]),
    "The zero maps are missing.": lambda m: m[:, :, ::2, ::2],
    "16 zero maps are enough: 16 + 16 = 32.": lambda m: _padded(m[:, :, ::2, ::2], 0, 32),
    LAST_AXIS_FIRST: lambda m: F.pad(m[:, :, ::2, ::2], (0, 16)),
    f"{LAST_AXIS_FIRST} You padded the height.": lambda m: F.pad(m[:, :, ::2, ::2], (0, 0, 0, 16)),
    "You padded the batch. The maps are axis 1.":
        lambda m: F.pad(m[:, :, ::2, ::2], (0, 0, 0, 0, 0, 0, 0, 16)),
}  # fmt: skip


@check("Write option_a(maps) and pass it to the check.")
def check_option_a(function: Callable) -> str:
    """Lesson 05: `function(maps)` must turn (N, 16, H, W) into option A's (N, 32, H / 2, W / 2)."""
    cases = [(torch.rand(2, 16, 32, 32),), (torch.rand(3, 16, 32, 20),)]
    learned = "Option A has nothing to learn, so no convolution: every second pixel, and zeros."
    note = tried(function, cases, _option_a, OPTION_A_SLIPS, without={"conv2d": learned})
    return f"Every second pixel, then 16 maps of zeros: nothing to learn.{note}"


@check("Write the shortcut and what forward returns.")
def check_residual_block(block: Callable) -> str:
    """Lesson 05: `block(in_channels, channels, stride)` must equal torchvision's BasicBlock.

    Tried as check_bottleneck does. An answer whose forward returns None is not attempted yet.
    """
    begun(call(built(block, 64, 64, 1), torch.rand(2, 64, 8, 6)), what="forward")
    _same_block(block, torchvision_resnet.BasicBlock, ((64, 64), (64, 128)))
    return "It equals torchvision's, with the identity and with a projection."


@check("Write a class Bottleneck(in_channels, channels, stride).")
def check_bottleneck(block: Callable) -> str:
    """Lesson 05: `block(in_channels, channels, stride)` must equal torchvision's Bottleneck.

    Tried on a block that keeps the shape, on one that halves and widens, and on those that do only
    one of the two.
    """
    _same_block(block, torchvision_resnet.Bottleneck, ((64, 16), (64, 32)))
    return "It equals torchvision's, with the identity and with a projection."


def _same_block(block: Callable, theirs: type, widths: tuple[tuple[int, int], ...]) -> None:
    """Compare with torchvision's block, for widths that keep and change the maps, both strides."""
    wide = theirs.expansion
    for in_channels, channels in widths:
        for stride in (1, 2):
            mine = built(block, in_channels, channels, stride)
            case = f"{type(mine).__name__}({in_channels}, {channels}, {stride})"
            projects = stride > 1 or in_channels != wide * channels
            conv = nn.Conv2d(in_channels, wide * channels, 1, stride, bias=False)
            shortcut = nn.Sequential(conv, nn.BatchNorm2d(wide * channels)) if projects else None
            reference = theirs(in_channels, channels, stride, shortcut)
            maps = torch.rand(2, in_channels, 8, 6)
            if hint := _wrong_layers(mine, projects, wide, channels, stride):
                raise Wrong(f"{case}: {hint}")
            try:
                same_function(mine, reference, maps)
            except Wrong as wrong:
                if not _same_with_shortcut_first(mine, reference, maps):
                    raise Wrong(f"{case}: {_wrong_steps(mine, wide, maps) or wrong}") from None


def _same_with_shortcut_first(mine: nn.Module, reference: nn.Module, maps: Tensor) -> bool:
    """Whether it is the same function with the weights of the shortcut before all others."""
    for name, module in [*reference.named_children()]:
        if name != "downsample":
            delattr(reference, name)
            reference.add_module(name, module)
    try:
        same_function(mine, reference, maps)
    except Wrong:
        return False
    return True


def _wrong_layers(mine: nn.Module, projects: bool, wide: int, channels: int, stride: int) -> str:
    """What is wrong with the layers that a block has, if it is a usual slip."""
    convs = [module for module in mine.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in mine.modules() if isinstance(module, nn.BatchNorm2d)]
    main, threes = (3, 1) if wide > 1 else (2, 2)
    if any(conv.bias is not None for conv in convs):
        return "a convolution has a bias. The batch norm behind it shifts anyway: bias=False."
    if any(conv.kernel_size == (3, 3) and conv.padding == (0, 0) for conv in convs):
        return "the 3×3 needs padding=1, or its maps no longer fit the shortcut."
    if [conv.kernel_size for conv in convs].count((3, 3)) > threes:
        which = "one convolution is 3×3, the middle one" if wide > 1 else "two convolutions are 3×3"
        return f"{which}. The projection is 1×1."
    if wide > 1 and all(conv.out_channels != wide * channels for conv in convs):
        return "the last 1×1 makes 4 * channels maps, four times as many as the others."
    if len(convs) == main + 1 and not projects:
        return "it projects although the shape stays. Here the shortcut is the identity."
    if len(convs) == main and projects:
        changes = "the shape changes (by the stride, or by the number of maps)"
        return f"{changes}, so it needs a projection."
    if len(norms) < len(convs):
        return "a batch norm stands behind each convolution, also that of the shortcut."
    strides = [conv.kernel_size[0] for conv in convs if conv.stride != (1, 1)]
    if stride > 1 and sorted(strides) != [1, 3]:
        if wide == 1:
            return "the stride belongs to the first 3×3 and to the projection."
        if strides == [1, 1]:
            return "your stride is on a 1×1 (the paper: the first); torchvision has it on the 3×3."
        return "the stride belongs to the 3×3 and to the projection."
    return ""


def _wrong_steps(mine: nn.Module, wide: int, maps: Tensor) -> str:
    """What is wrong with the order of additions and ReLUs, if it is a usual slip."""
    try:
        kinds = [row.kind.lower() for row in record(mine, maps)]
    except (ShapeError, ValueError):
        return ""
    steps = [kind for kind in kinds if kind in ("add", "relu")]
    inner = ["relu"] * (2 if wide > 1 else 1)
    if "add" not in steps:
        return "the shortcut is not added."
    if steps == [*inner, "add"]:
        return "the ReLU after the addition is missing."
    if steps == [*inner, "relu", "add"]:
        return "the last ReLU comes after the addition, not before it."
    if steps != [*inner, "add", "relu"] and wide > 1:
        return "there is a ReLU after each of the first two batch norms."
    if steps != [*inner, "add", "relu"]:
        return "there is a ReLU after the first batch norm, and one after the addition."
    return ""


FOR_EVER = "Quiet it is, but for ever: behind bn1 all is 0, where the ReLU gives no gradient."
ENORMOUS = "Quiet it is, but batch norm divides by the spread of its input: from 0 steps are "
ENORMOUS += "enormous."


@check("Write quiet_start(net) and pass it to the check.")
def check_quiet_start(function: Callable) -> str:
    """Lesson 05: after `function(net)` each block of a new residual network must do nothing."""
    net, maps = ResNetCIFAR(14), torch.rand(2, 3, 32, 32)
    before = {name: weight.clone() for name, weight in net.named_parameters()}
    in_place = "Change weights with nn.init.zeros_(...), or under torch.no_grad()."
    failures = {"leaf Variable": in_place, "cannot assign": in_place}
    call(function, net, case="ResNetCIFAR(14)", failures=failures)
    after = dict(net.named_parameters())
    old, new = ([(n, w.shape, w.dtype) for n, w in each.items()] for each in (before, after))
    if old != new:
        raise Wrong("The network has other weights now. Change their values, not the layers.")
    changed = {n.split(".")[-2] for n in before if not torch.equal(after[n], before[n])}
    if not changed:
        raise Unfinished("Your function has changed no weight yet.")
    blocks = [module for module in net.modules() if hasattr(module, "shortcut")]
    quiet = []
    for block in blocks:
        block.register_forward_hook(lambda b, x, out: quiet.append(same(out, b.shortcut(x[0]))))
    with evaluating(net):
        net(maps)
    if not all(quiet):
        raise Wrong(f"{quiet.count(False)} of {len(quiet)} blocks still add something.")
    if "bn1" in changed:
        raise Wrong(f"{FOR_EVER} Zero the last batch norm, bn2.")
    if changed & {"conv1", "conv2"}:
        raise Wrong(f"{ENORMOUS} Zero the scale of bn2, not a convolution.")
    if changed != {"bn2"}:
        raise Wrong(f"Change the scale of bn2 and nothing else; you changed {sorted(changed)}.")
    if asleep := [name for name, weight in after.items() if not weight.requires_grad]:
        raise Wrong(f"Quiet it is, but frozen: {asleep[0]} can no longer learn.")
    return "Each block passes its input on, and bn2's scale can grow from 0."


@check("Build a network from ArticleResNet and call it repaired.")
def check_repaired(model: nn.Module) -> str:
    """Lesson 05: the article's network, changed so that at 32 pixels no weight is dead."""
    rows = network(model, "repaired", (3, 32, 32))
    blocks = sum(hasattr(module, "shortcut") for module in model.modules())
    if blocks != 4:
        raise Wrong(f"The article's network has four blocks; yours has {blocks}.")
    if rows.dead:
        side = next((row.output[-1] for row in rows if row.kind == "Conv2d"), 0)
        hint = " A smaller kernel with the same stride changes nothing." if side == 16 else ""
        dead = f"{rows.dead:,} weights ({rows.dead / rows.parameters:.1%}) are still dead"
        raise Wrong(f"{dead}: conv1 leaves {side}×{side}, and four blocks halve it again.{hint}")
    for row in rows:
        sizes = {rows[k].output for k in row.sources if k >= 0} if row.kind == "add" else set()
        if len(sizes) > 1:
            both = " and ".join(f"{size[-2]}×{size[-1]}" for size in sorted(sizes))
            raise Wrong(f"{row.name} adds maps of {both}: the smaller is repeated in silence.")
    if enlarges(rows):
        raise Wrong("It makes the pictures larger. A stem for 32 pixels costs less.")
    return f"No dead weight among {rows.parameters:,} parameters, for {rows.macs:,} MACs."
