"""Networks side by side, and the tables of the papers, made from `shapes.record`."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from itertools import groupby, pairwise, zip_longest
from math import prod

from cnn_lessons.models import VGG, GoogLeNet, ResNet, vgg
from cnn_lessons.shapes import Record, Row, on_meta
from cnn_lessons.shapes.rows import short, times
from cnn_lessons.table import Table

SIZE = (3, 224, 224)  # of the papers' pictures


def _window(row: Row) -> str:
    """7×7/2 g2: the kernel and, where they are not 1, the stride and the groups."""
    if not row.window:
        return ""
    stride = short(row.window.stride)
    extra = (f"/{stride}" if stride != "1" else "") + (f" g{row.groups}" if row.groups > 1 else "")
    return times(row.window.kernel) + extra


def _side(row: Row) -> str:
    return times(row.output[2:])


def _layers(record: Record) -> str:
    """How many layers have weights, also in blocks that are folded."""
    return str(sum(step.weights > 0 for row in record for step in (row.inside or (row,))))


# --- networks side by side ----------------------------------------------------------------------


def compare(records: Mapping[str, Record], title: str = "") -> Table:
    """Two or more records by name, side by side: what each does at every size of its maps.

    Equal steps that follow each other are counted, "2 × Conv2d 3×3, 64"; steps that keep the shape
    and have no weights are left out. Folded records show one entry a block. Under that stands what
    each network costs. Raises ValueError for fewer than two records.
    """
    if len(records) < 2:
        raise ValueError(f"records must be two or more, each with a name; got {len(records)}")
    columns = [_by_size(record) for record in records.values()]
    sizes = {size for column in columns for size in column}
    lines = [
        (times(size) or "vectors", *(column.get(size, "") for column in columns))
        for size in sorted(sizes, key=lambda size: (prod(size), size), reverse=True)
    ]
    totals = {
        "layers with weights": _layers,
        "parameters": lambda record: f"{record.parameters:,}",
        "MACs": lambda record: f"{record.macs:,}",
        "outputs in kB": lambda record: f"{record.memory / 1000:,.0f}",
        "dead weights": lambda record: f"{record.dead:,}",
    }
    lines += [(name, *map(total, records.values())) for name, total in totals.items()]
    return Table(("map", *records), tuple(lines), foot=len(totals), title=title)


def _by_size(record: Record) -> dict[tuple[int, ...], str]:
    """What a network does at each size of map, in order; vectors have the empty size."""
    entries: dict[tuple[int, ...], list[str]] = {}
    for row in record:
        if row.weights or row.inside or (row.window and row.inputs[0] != row.output):
            size = row.output[2:] if len(row.output) >= 4 else ()
            maps = "".join(f", {count}" for count in row.output[1:2])
            entries.setdefault(size, []).append(f"{row.kind} {_window(row)}".strip() + maps)
    return {
        size: "\n".join(
            f"{count} × {text}" if (count := len(list(run))) > 1 else text
            for text, run in groupby(texts)
        )
        for size, texts in entries.items()
    }


# --- the tables of the papers -------------------------------------------------------------------

# The row "number of parameters" of VGG's Table 2, in millions.
PRINTED_VGG = (133, 133, 133, 134, 138, 144)


def vgg_table(column: str = "D", title: str = "") -> Table:
    """VGG's Table 1 with one column marked, and under it the parameters, with those of Table 2.

    What a column has and the one to its left has not stands out. Raises ValueError for a column
    that Table 1 has not.
    """
    if column not in list(vgg.TABLE_1):
        raise ValueError(f"column must be one of {', '.join(vgg.TABLE_1)}; got {column!r}")
    records = [on_meta(partial(VGG, name), SIZE) for name in vgg.TABLE_1]
    lines = [("layers with weights", *map(_layers, records)), *_vgg_blocks(records[0])]
    lines += [
        (fc, *(f"FC-{each[f'classifier.{fc}'].output[1]}" for each in records))
        for fc in ("fc6", "fc7", "fc8")
    ]
    lines.append(("parameters", *(f"{each.parameters:,}" for each in records)))
    lines.append(("paper: parameters", *(f"{count} million" for count in PRINTED_VGG)))
    heading = ("", *(f"▶ {name}" if name == column else name for name in vgg.TABLE_1))
    return Table(heading, tuple(lines), foot=2, title=title)


def vgg_layer(entry: str | tuple[int, int]) -> str:
    """How the paper writes an entry of `vgg.TABLE_1`: conv3-64, LRN."""
    return entry if isinstance(entry, str) else "conv{}-{}".format(*entry)


def _vgg_blocks(record: Record) -> list[tuple[str, ...]]:
    """The lines of the five blocks: a layer each, and the pool, which stands across."""
    lines = []
    for b, blocks in enumerate(zip(*vgg.TABLE_1.values()), start=1):
        label = f"block {b}, {_side(record[f'features.conv{b}_1'])}"
        for layers in zip_longest(*blocks, fillvalue=""):
            cells = [vgg_layer(each) for each in layers]
            new = [f"*{cell}*" if cell != left else cell for left, cell in pairwise(cells)]
            lines.append((label, cells[0], *new))
            label = ""
        lines.append((f"max pool, 2×2, stride 2: {_side(record[f'features.pool{b}'])}",))
    return lines


# The columns "params" and "ops" of GoogLeNet's Table 1, as it prints them.
PRINTED_GOOGLENET = {
    "conv1": ("2.7K", "34M"), "conv2": ("112K", "360M"),
    "inception_3a": ("159K", "128M"), "inception_3b": ("380K", "304M"),
    "inception_4a": ("364K", "73M"), "inception_4b": ("437K", "88M"),
    "inception_4c": ("463K", "100M"), "inception_4d": ("580K", "119M"),
    "inception_4e": ("840K", "170M"), "inception_5a": ("1072K", "54M"),
    "inception_5b": ("1388K", "71M"), "fc": ("1000K", "1M"),
}  # fmt: skip
BRANCHES = {
    "1×1": "branch1x1.conv", "3×3\nreduce": "branch3x3.reduce", "3×3": "branch3x3.conv",
    "5×5\nreduce": "branch5x5.reduce", "5×5": "branch5x5.conv", "pool\nproj": "branch_pool.proj",
}  # fmt: skip
TYPES = {
    "Conv2d": "convolution", "MaxPool2d": "max pool", "cat": "inception",
    "AdaptiveAvgPool2d": "average pool", "Dropout": "dropout", "Linear": "linear",
}  # fmt: skip


def googlenet_table(title: str = "") -> Table:
    """GoogLeNet's Table 1, its counts of parameters and MACs beside those that the paper prints."""
    record = on_meta(partial(GoogLeNet, aux=False), SIZE)
    steps = [row for row in record if row.kind in TYPES]
    stages = groupby(steps, lambda row: row.name.split(".")[1].removesuffix("_reduce"))
    rows = [_googlenet_row(name, list(stage)) for name, stage in stages]
    total = {"type": "total", "parameters": record.parameters, "MACs": record.macs}
    return Table.of([*rows, total], foot=1, title=title)


def _googlenet_row(name: str, stage: list[Row]) -> dict[str, object]:
    last, layers = stage[-1], [row for row in stage if row.macs]
    maps = {row.name.split(".", 2)[-1]: row.output[1] for row in layers}
    if name == "conv2":  # the paper prints its reduction in the column of the modules'
        maps = dict(zip(("branch3x3.reduce", "branch3x3.conv"), maps.values()))
    depth = Counter(row.name.rpartition(".")[0] for row in layers)
    printed = PRINTED_GOOGLENET.get(name, (None, None))
    average = last.kind == "AdaptiveAvgPool2d"
    return {
        "type": TYPES[last.kind] + (f" ({name[-2:]})" if last.kind == "cat" else ""),
        "patch/\nstride": times(last.inputs[0][2:]) if average else _window(last),
        "output": times((*last.output[2:], last.output[1])),
        "depth": max(depth.values(), default=None),
        **{branch: maps.get(layer) for branch, layer in BRANCHES.items()},
        "parameters": sum(row.parameters for row in layers) or None, "printed\nparams": printed[0],
        "MACs": sum(row.macs for row in layers) or None, "printed\nops": printed[1],
    }  # fmt: skip


# The row "FLOPs" of ResNet's Table 1, in 10⁹, by depth; what it counts are MACs.
PRINTED_RESNET = {18: 1.8, 34: 3.6, 50: 3.8, 101: 7.6, 152: 11.3}


def resnet_table(title: str = "") -> Table:
    """ResNet's Table 1: the layers of a block in each stage, and how often the block comes.

    Parameters and MACs are those of `ResNet(depth, stride_on="1x1")`, which strides where the paper
    does; a row of its own gives the MACs with the stride on the 3×3.
    """
    records = [on_meta(partial(ResNet, depth, stride_on="1x1"), SIZE) for depth in PRINTED_RESNET]
    today = [on_meta(partial(ResNet, depth), SIZE) for depth in PRINTED_RESNET]
    first, stem, pool = records[0], records[0]["conv1"], records[0]["pool1"]
    lines = [
        ("conv1", _side(stem), *[f"{_window(stem)}, {stem.output[1]}"] * len(records)),
        (f"max pool, {_window(pool)}: {_side(pool)}",),
    ]
    for stage in ("conv2_x", "conv3_x", "conv4_x", "conv5_x"):
        cells = [_resnet_cell(each, stage) for each in records]
        lines.append((stage, _side(first[f"{stage}.0.conv2"]), *cells))
    lines += [
        (f"average pool: {_side(first['pool'])}, then fc {first['fc'].output[1]}, softmax",),
        ("parameters", "", *(f"{each.parameters:,}" for each in records)),
        ("MACs", "", *(f"{each.macs:,}" for each in records)),
        ("paper: FLOPs", "", *(f"{printed} × 10⁹" for printed in PRINTED_RESNET.values())),
        ("MACs, stride on 3×3", "", *(f"{each.macs:,}" for each in today)),
    ]
    heading = ("layer", "output", *(f"{depth} layers" for depth in PRINTED_RESNET))
    return Table(heading, tuple(lines), foot=4, title=title)


def _resnet_cell(record: Record, stage: str) -> str:
    layers = [row for row in record if row.name.startswith(f"{stage}.0.conv")]
    blocks = {row.name.split(".")[1] for row in record if row.name.startswith(stage)}
    kernels = [f"{times(row.window.kernel)}, {row.output[1]}" for row in layers]
    return "\n".join([*kernels, f"× {len(blocks)}"])
