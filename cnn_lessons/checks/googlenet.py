"""The checks of lesson 04."""

from collections.abc import Callable, Mapping
from math import exp, log

import torch
from torch import nn

from cnn_lessons.checks.functions import begun, built, call
from cnn_lessons.checks.modules import ACTIVATIONS, bent, dropouts, network, plain, same_function
from cnn_lessons.checks.numbers import number, shown, value_of
from cnn_lessons.checks.verdict import Unfinished, Wrong, check
from cnn_lessons.models.googlenet import ARTICLE_TABLE, TABLE_1, AuxiliaryHead, Inception
from cnn_lessons.shapes import Record, record

# Rows of small modules: the maps that come in, then six counts as in Table 1, all different.
SMALL_ROWS = ((10, 3, 4, 5, 2, 6, 7), (6, 5, 2, 3, 7, 4, 8))
GAPS = ("branch3x3", "branch5x5", "branch_pool")


@check("Write the branches and the forward of MyInception.")
def check_inception(build: Callable[..., nn.Module]) -> str:
    """Lesson 04: the learner's Inception module against `models.Inception`, for two rows."""
    for row in SMALL_ROWS:
        mine = built(build, *row)
        if empty := [name for name in GAPS if getattr(mine, name, 0) is None]:
            raise Unfinished(f"{empty[0]} is still None.")
        maps = torch.rand(2, row[0], 8, 9)
        answer = call(mine, maps, case=f"{row[0]} maps of 8×9", failures=MODULE_FAILURES)
        begun(answer, what="forward")
        if hint := _module_slip(mine, answer, row):
            raise Wrong(hint)
        same_function(mine, Inception(*row), maps)
    return "Four branches, six convolutions, each with its ReLU, side by side."


MODULE_FAILURES = {
    "Sizes of tensors must match": "All branches must keep the height and width of the maps: "
    "padding, and stride=1 for the pool.",
}


def _module_slip(mine: nn.Module, answer: object, row: tuple[int, ...]) -> str:
    """What is wrong, in words, if it is a usual slip."""
    maps, ch1x1, _, ch3x3, _, ch5x5, pool_proj = row
    made = ch1x1 + ch3x3 + ch5x5 + pool_proj
    if not isinstance(answer, torch.Tensor):
        return f"forward gives a {type(answer).__name__}: join the four with torch.cat."
    if answer.dim() != 4:
        return f"forward gives {[*answer.shape]}: maps have four axes, [N, channels, H, W]."
    if len(answer) != 2:
        return "The maps were joined along axis 0, the pictures. Channels are axis 1: dim=1."
    table = record(mine, (maps, 8, 9))
    convs = [k for k, step in enumerate(table) if step.weights]
    pools = [step for step in table if step.is_pool]
    if not pools or answer.shape[1] == made - pool_proj + maps:
        return "The fourth branch is a 3×3 max pool, then a 1×1 convolution and its ReLU."
    if any(step.inputs[0][1] != maps for step in pools):
        return "The pool reads the module's input, and the 1×1 comes after it."
    if answer.shape[1] != made or len(convs) != 6:
        return f"Six convolutions make {made} maps of {maps}; yours: {len(convs)} make " + (
            f"{answer.shape[1]}. Each branch reads `maps`, and torch.cat joins all four."
        )
    for k in convs:
        if not ACTIVATIONS & {plain(step.kind) for step in table if k in step.sources}:
            size = "×".join(map(str, table[k].window.kernel))
            return f"The ReLU after the {size} convolution to {table[k].output[1]} maps is missing."
    return ""


@check("Set weights_3a to a number.")
def check_module_weights(answer: int) -> str:
    """Lesson 04: the weights of module 3a, all six convolutions, without biases."""
    outcomes = {
        163_328: "64·192 + 96·192 + 9·96·128 + 16·192 + 25·16·32 + 32·192 = 163,328.",
        163_696: "Those are the parameters. Leave out the 368 biases.",
        387_072: "That is the naive module: three convolutions over all 192 maps.",
        157_184: "The projection behind the pool is missing: 32·192.",
        151_040: "The 1×1 branch is missing: 64·192.",
        141_824: "The two reductions are missing: 96·192 and 16·192.",
        145_168: "The projection reads the pool's 192 maps, and there are two reductions.",
        301_056: "The 5×5 branch: its 32 kernels read the 16 maps of the reduction, not all 192.",
        79_360: "A 3×3 kernel has 9 weights for each map that it reads, and a 5×5 kernel 25.",
        158_208: "The projection reads the 192 maps of the module's input: 32·192.",
        256 * 192: "That is one weight for each pair of an input map and an output map.",
    }
    wrong = "Six convolutions: kernel size² × maps that it reads × maps that it makes, added up."
    return number(answer, outcomes, wrong)


@check("Set first_loss to a number.")
def check_first_loss(answer: float) -> str:
    """Lesson 04: the training loss of an untrained network with two heads and ten classes."""
    one, truth = log(10), 1.6 * log(10)
    outcomes = {
        truth: f"Each loss is about log(10) = 2.30, so 2.30 · (1 + 0.3 + 0.3) = {truth:.2f}.",
        one: "That is the main loss. The two heads have a loss each, with weight 0.3.",
        3 * one: "The losses of the heads are multiplied by 0.3 before they are added.",
        1.3 * one: "There are two heads.",
        0.6 * one: "Those are the two heads. The network's own loss is added.",
        0.9 * one: "Only the heads have the weight 0.3. The network's own loss counts fully.",
        1.6: "log is the natural logarithm: log(10) is 2.30.",
        1.6 * log(1000): "That is for the 1000 classes of ImageNet. Here there are ten.",
    }
    wrong = "A network that knows nothing gives each of ten classes 1/10: what is its loss?"
    return number(answer, outcomes, wrong)


@check("Set kernels_a_colour to a number.")
def check_separable(answer: int) -> str:
    """Lesson 04: how many kernels a colour give a separable first layer the printed 2.7K."""
    outcomes = {
        8: "7·7·3·8 + 24·64 = 2,712 weights, and at 112·112 places 34.0 million MACs: both printed "
        "numbers at once. The batch norm paper has the 8 for the second version of the network.",
        24: "24 kernels in all, so how many for each of the three colours?",
        64: "64 are the maps after the 1×1. Before it there may be fewer.",
        1: "With one a colour it is 7·7·3 + 3·64 = 339 weights. The paper prints 2.7K.",
        2712: "Those are the weights. How many kernels a colour make them?",
        7: "7 give 2,373 weights and 29.8 million MACs. Try one more.",
        9: "9 give 3,051 weights. Try one less.",
        18: "18 kernels a colour: 7·7·3·18 = 2,646. But the 1×1 has weights too, one for each pair "
        "of a map that it reads and one of the 64 that it makes.",
        3: "3 is the number of colours. Each has m kernels: 7·7·3·m + 3m·64 = about 2,700.",
    }
    return number(answer, outcomes, "7·7·3·m weights, then 3m·64 for the 1×1: together 2.7K.")


@check("Set size_now to a number.")
def check_decay(answer: float) -> str:
    """Lesson 04: the size to which weight decay alone shrinks a dead tap of GoogLeNetCIFAR."""
    start, steps, rate, decay = (2 / (25 * 48)) ** 0.5, 11_730, 0.05, 5e-4
    power = steps * rate / 2 * decay / 0.1
    outcomes = {
        start * exp(-power): "0.0408 · exp(-11,730 · 0.025 · 0.0005 / 0.1) = 0.0094, the 94 of the "
        "figure. No picture had a part in it.",
        start * exp(-2 * power): "That is with the highest rate all the time. It climbs from 0 and "
        "falls to 0 in straight lines: on the average it is half.",
        start * exp(-power / 10): "Momentum is missing: 0.9 of each step goes on into the next, so "
        "in the end each counts 1 / (1 - 0.9) times.",
        start * exp(-power / 5): "Two things are missing: the average rate is half the highest, "
        "and momentum makes each step count ten times.",
        exp(-power): "That is the share that is left. Multiply by the size at the start.",
        power: "That is the sum of all steps. The size shrinks by exp of minus that.",
        start: "That is the size at the start. What is left of it?",
        start * (1 - power): "The steps do not add up, they multiply: (1 - a)(1 - b)... is about "
        "exp(-(a + b + ...)).",
    }
    return number(answer, outcomes, "start · exp(-steps · average rate · decay / (1 - momentum)).")


@check("Give rows the nine rows, with the wrong number put right.")
def check_rows(rows: Mapping[str, tuple[int, ...]]) -> str:
    """Lesson 04: the nine rows of Table 1, repaired from those of the article."""
    if not isinstance(rows, Mapping):
        right = value_of(rows) == 192
        hint = " (The number is right. Put it into its row.)" if right else ""
        raise Wrong(f"rows must be a dictionary as TABLE_1 is; got {shown(rows)}.{hint}")
    if {*rows} != {*TABLE_1}:
        raise Wrong(f"rows must have the names {', '.join(TABLE_1)}; got {[*rows]}.")
    for name, row in rows.items():
        if not isinstance(row, (tuple, list)) or len(row) != 6:
            raise Wrong(f"{name} must have six numbers; got {shown(row)}.")
    wrong = {name: row for name, row in rows.items() if (*row,) != TABLE_1[name]}
    if wrong.keys() == {"5b"} and (*rows["5b"],) == ARTICLE_TABLE["5b"]:
        raise Wrong("Those are the article's rows, as they are.")
    for name, row in wrong.items():
        column = next(k for k in range(6) if row[k] != TABLE_1[name][k])
        if TABLE_1[name][column] == ARTICLE_TABLE[name][column]:
            right = TABLE_1[name][column]
            raise Wrong(f"{name} was right before: its number {column + 1} is {right}.")
        loss = f"{row[column]!r} does not give the network its 5,983,802 parameters"
        raise Wrong(f"The right place, but {loss}.")
    return "192, and the 42,890 parameters are back. Only a count shows a wrong reduction."


@check("Set smallest to a number.")
def check_smallest(answer: int) -> str:
    """Lesson 04: the smallest picture that the original network takes, in pixels a side."""
    outcomes = {
        31: "31 → conv1 16 → pool1 8 → pool2 4 → pool3 2 → pool4 1. From 30 pool4 gets only 1×1.",
        224: "The heads want 224. Without them, as in evaluation, smaller ones pass too.",
        32: "32 passes. Try one less.",
        30: "30 fails: what reaches pool4 is 1×1, and pool4 is 3×3.",
        5: "That is the article's network for 32 pixels. Its pools have padding.",
        1: "One pixel fails: so early that pool2 has nothing to read.",
        0: "A picture has at least one pixel.",
        16: "16 fails: what reaches pool4 is 1×1, and pool4 is 3×3.",
    }
    loop = "Try sizes in a loop, from small to large: which is the first that does not fail?"
    passes = (value_of(answer) or 0) > 31
    return number(answer, outcomes, f"{shown(answer)} {'passes' if passes else 'fails'}. {loop}")


@check("Write my_head(in_channels, num_classes) and pass it to the check.")
def check_aux_head(head: Callable) -> str:
    """Lesson 04: `head(in_channels, num_classes)` must build the paper's auxiliary head.

    It is tried with the maps of both heads, 512 and 528, and for ten and seven classes.
    """
    for channels, classes in ((512, 10), (528, 7)):
        mine = built(head, channels, classes, what="function")
        try:
            rows = network(mine, "my_head", (channels, 14, 14), classes=classes)
            if hint := _head_slip(mine, rows, channels):
                raise Wrong(hint)
            same_function(mine, AuxiliaryHead(channels, classes), torch.rand(2, channels, 14, 14))
        except Wrong as wrong:
            raise Wrong(f"my_head({channels}, {classes}): {wrong}") from None
    return "512@14×14 → 512@4×4 → 128@4×4 → 2048 → 1024 → 10, as in the paper."


def _head_slip(mine: nn.Module, rows: Record, channels: int) -> str:
    """What is wrong, in words, if it is a usual slip."""
    kinds = [plain(row.kind) for row in rows]
    pools = [row.window for row, kind in zip(rows, kinds) if kind == "avgpool2d"]
    if not pools or (pools[0].kernel, pools[0].stride) != ((5, 5), (3, 3)):
        return "The paper begins with an average pool of 5×5 and stride 3: nn.AvgPool2d(5, 3)."
    if "conv2d" not in kinds:
        return "The 1×1 convolution to 128 maps is missing: 128·4·4 = 2048 numbers, not 512·4·4."
    conv, *linear = [k for k, row in enumerate(rows) if row.weights]
    if rows[conv].output[1] != 128 or rows[conv].window.kernel != (1, 1):
        return f"The convolution is 1×1 and makes 128 maps of {channels}; yours does not."
    if len(linear) != 2:
        return f"The head has two linear layers, 2048 → 1024 → classes; yours has {len(linear)}."
    for name, first, last in (("1×1", conv, linear[0]), ("1024 units", *linear)):
        if not bent(rows, first, last):
            return f"The ReLU after the {name} is missing."
    drops = [k for k, kind in enumerate(kinds) if "dropout" in kind]
    shares = dropouts(mine, (channels, 14, 14))
    if not shares:
        return "The dropout of 70 % is missing: nn.Dropout(0.7), which eval() switches off."
    if len(drops) > 1:
        return f"The paper has one dropout, after the 1024 units; yours has {len(drops)}."
    if shares[0] == 0.3:
        return "nn.Dropout wants the share that is thrown away: 0.7."
    if shares[0] != 0.7:
        return f"The paper drops 70 % (the article 50 % twice); yours drops {shares[0]:.0%}."
    if not linear[0] < drops[0] < linear[1]:
        return "The dropout belongs between the two linear layers, after the 1024 units."
    return ""
