"""Networks side by side and the papers' tables, against the numbers that the papers print."""

from functools import cache

import pytest
import torch
from torch import nn

from cnn_lessons.models import LeNet5, ResNetCIFAR
from cnn_lessons.see import tables
from cnn_lessons.shapes import Record, record
from cnn_lessons.table import Table
from tests.networks import CASES


def lines_of(table: Table) -> dict[str, tuple[str, ...]]:
    """The lines by their first cells, where these are not empty."""
    return {line[0]: line[1:] for line in table.lines if line[0]}


@cache
def paper(name: str) -> Table:
    return getattr(tables, f"{name}_table")(title=f"Table 1 of {name}")


# --- networks side by side ----------------------------------------------------------------------


def test_networks_stand_side_by_side_where_their_maps_are_equal():
    records = {
        "LeNet-5": record(LeNet5(), (3, 32, 32)),
        "ResNet-20": record(ResNetCIFAR(20), (3, 32, 32)).fold(),
    }
    table = tables.compare(records, "two networks")
    lines = lines_of(table)
    assert table.heading == ("map", "LeNet-5", "ResNet-20") and table.title == "two networks"
    assert lines["32×32"] == ("", "Conv2d 3×3, 16\n3 × BasicBlock, 16")
    assert lines["28×28"] == ("Conv2d 5×5, 6", "")
    assert lines["14×14"] == ("MaxPool2d 2×2/2, 6", "")
    assert lines["16×16"] == ("", "3 × BasicBlock, 32")
    assert lines["vectors"] == ("Linear, 120\nLinear, 84\nLinear, 10", "Linear, 10")
    assert list(lines)[:4] == ["32×32", "28×28", "16×16", "14×14"]
    totals = [(name, *lines[name]) for name in list(lines)[-5:]]
    assert totals == [
        ("layers with weights", "5", "20"), ("parameters", "62,006", "269,722"),
        ("MACs", "651,720", "40,551,040"), ("outputs in kB", "33", "2,655"),
        ("dead weights", "0", "0"),
    ]  # fmt: skip


def test_a_comparison_needs_two():
    with pytest.raises(ValueError, match="records must be two or more"):
        tables.compare({"LeNet-5": record(LeNet5(), (3, 32, 32))})


class Scalar(nn.Module):
    """Gives one number, or one a picture, of a linear layer's outputs."""

    def __init__(self, *axes: int):
        super().__init__()
        self.fc, self.axes = nn.Linear(4, 3), axes

    def forward(self, numbers):
        return self.fc(numbers).sum(self.axes)


def test_networks_without_maps_or_steps_can_be_compared():
    nothing = Record()
    assert lines_of(tables.compare({"a": nothing, "b": nothing}))["parameters"] == ("0", "0")
    records = {f"{axes}": record(Scalar(*axes), torch.zeros(2, 4)) for axes in ((1,), (0, 1))}
    table = tables.compare(records | {"nothing": nothing})
    assert lines_of(table)["vectors"] == ("Linear, 3", "Linear, 3", "")
    assert str(table) and table._repr_html_()


# --- the tables of the papers -------------------------------------------------------------------


def test_vgg_table_has_the_counts_of_table_2_and_marks_one_column():
    table, names = paper("vgg"), ("vgg_a", "vgg_b", "vgg_c", "vgg_d", "vgg_e")
    lines = lines_of(table)
    # A-LRN stands beside A and has its counts.
    counts = [f"{CASES[name].parameters:,}" for name in names]
    assert lines["parameters"] == (counts[0], *counts)
    for computed, printed in zip(lines["parameters"], lines["paper: parameters"]):
        assert f"{int(computed.replace(',', '')) / 1e6:.0f} million" == printed
    assert table.heading == ("", "A", "A-LRN", "B", "C", "▶ D", "E")
    assert lines["layers with weights"] == ("11", "11", "13", "16", "16", "19")
    assert lines["fc8"] == ("FC-1000",) * 6
    assert [line[0] for line in table.lines if len(line) == 1] == [
        f"max pool, 2×2, stride 2: {side}×{side}" for side in (112, 56, 28, 14, 7)
    ]


def test_what_stands_out_in_the_vgg_table_is_what_the_column_to_the_left_has_not():
    columns = zip(*(line for line in paper("vgg").lines if len(line) > 1))
    assert [[cell for cell in column if cell.startswith("*")] for column in columns] == [
        [], [], ["*LRN*"], ["*conv3-64*", "*conv3-128*"],
        ["*conv1-256*", "*conv1-512*", "*conv1-512*"],
        ["*conv3-256*", "*conv3-512*", "*conv3-512*"],
        ["*conv3-256*", "*conv3-512*", "*conv3-512*"],
    ]  # fmt: skip


def test_vgg_table_refuses_another_column():
    with pytest.raises(ValueError, match="column must be one of A, A-LRN, B, C, D, E; got 'F'"):
        tables.vgg_table("F")


def test_googlenet_table_has_computed_and_printed_counts():
    table = paper("googlenet")
    lines = lines_of(table)
    assert table.heading[3:10] == (
        "depth", "1×1", "3×3\nreduce", "3×3", "5×5\nreduce", "5×5", "pool\nproj",
    )  # fmt: skip
    # 163,328 and 1,442,816 weights, and a bias for each map.
    assert lines["inception (3a)"] == (
        "", "28×28×256", "2", "64", "96", "128", "16", "32", "32",
        f"{163_328 + 368:,}", "159K", "128,049,152", "128M",
    )  # fmt: skip
    assert lines["inception (5b)"][-4:-2] == (f"{1_442_816 + 1_264:,}", "1388K")
    assert lines["average pool"][:3] == ("7×7", "1×1×1024", "")
    assert lines["convolution"][:6] == ("3×3", "56×56×192", "2", "", "64", "192")
    assert lines["total"][-4:] == ("6,998,552", "", "1,582,671,872", "")
    assert [line[0] for line in table.lines].count("max pool") == 4
    for parameters, printed in ((line[10], line[11]) for line in table.lines[4:6]):
        assert abs(int(parameters.replace(",", "")) / 1e3 - int(printed[:-1])) < 10


def test_resnet_table_has_computed_and_printed_counts():
    table, depths = paper("resnet"), (18, 34, 50, 101, 152)
    lines = lines_of(table)
    for line, attribute in (("parameters", "parameters"), ("MACs, stride on 3×3", "macs")):
        counts = [f"{getattr(CASES[f'resnet_{depth}'], attribute):,}" for depth in depths]
        assert lines[line] == ("", *counts)
    assert lines["MACs"][3] == f"{CASES['resnet_50_paper'].macs:,}"
    assert lines["paper: FLOPs"][3] == "3.8 × 10⁹"
    assert lines["conv2_x"][:2] == ("56×56", "3×3, 64\n3×3, 64\n× 2")
    assert lines["conv5_x"][-1] == "1×1, 512\n3×3, 512\n1×1, 2048\n× 3"
    # Rows conv2_x to conv5_x of the paper's Table 1, how often each block comes.
    times = [[cell.split("× ")[-1] for cell in lines[f"conv{k}_x"][1:]] for k in (2, 3, 4, 5)]
    assert [list(map(int, row)) for row in times] == [
        [2, 3, 3, 3, 3], [2, 4, 4, 4, 8], [2, 6, 6, 23, 36], [2, 3, 3, 3, 3],
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["vgg", "googlenet", "resnet"])
def test_the_tables_of_the_papers_have_their_title_in_every_form(name):
    table = paper(name)
    assert str(table).startswith(f"Table 1 of {name}\n")
    assert table.markdown().startswith(f"Table 1 of {name}\n\n| ")
    assert f"<caption>Table 1 of {name}</caption>" in table._repr_html_()
