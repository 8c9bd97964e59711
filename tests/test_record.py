"""The record of networks as learners write them: right, or it says what it does not know."""

import html
import warnings

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from cnn_lessons.shapes import ShapeError, live_taps, record, recorder

from .test_fields import Net

META = torch.device("meta")


# --- writes -------------------------------------------------------------------------------------


def test_what_is_written_into_a_slice_is_read_from_the_whole():
    def run(net, x):
        padded = torch.zeros(len(x), 3, 10, 10)
        padded[:, :, 1:-1, 1:-1] = x
        return net.conv(padded)

    table = record(Net(run, conv=nn.Conv2d(3, 4, 3)), (3, 8, 8))
    assert [(row.kind, row.sources) for row in table] == [("setitem", (-1,)), ("Conv2d", (0,))]
    assert table["setitem"].output == (2, 3, 10, 10) and not table.lost
    assert (table.parameters, table.macs) == (112, 8 * 8 * 4 * 27)
    assert table["conv"].receptive_field == (3, 3) and table["conv"].parameters == 112


WRITES = {
    "copy_": lambda base, x: base[:, 1:].copy_(x),
    "add_": lambda base, x: base[:, 1:].add_(x),
    "zeros_like": lambda base, x: base.__setitem__((slice(None), slice(1, None)), x),
    "out": lambda base, x: torch.add(x, 1, out=base[:, 1:]),
    "index_put_": lambda base, x: base.index_put_(
        (torch.tensor([0, 1]),), F.pad(x, (0, 0, 0, 0, 1, 0))
    ),
    "index_copy_": lambda base, x: base.index_copy_(1, torch.tensor([1, 2, 3]), x),
    "masked_scatter_": lambda base, x: base.masked_scatter_(torch.arange(4)[:, None, None] > 0, x),
    "unbind": lambda base, x: [part.copy_(x[:, 0]) for part in base.unbind(1)],
    "view": lambda base, x: base.view(2, -1)[:, :192].copy_(x.flatten(1)),
}


@pytest.mark.parametrize("name", WRITES)
def test_each_way_to_write_is_read_later_also_through_another_view(name):
    def run(net, x):
        base = torch.zeros_like(torch.cat([x, x[:, :1]], dim=1))
        other = base[:, :, 2:]
        WRITES[name](base, x)
        return net.first(base), net.second(other)

    table = record(Net(run, first=nn.Conv2d(4, 1, 1), second=nn.Conv2d(4, 1, 1)), (3, 8, 8))
    first, second = table["first"], table["second"]
    assert not table.lost and first.sources == second.sources
    written = table[first.sources[0]]
    while -1 not in written.sources:
        written = table[written.sources[0]]
    assert first.parameters == second.parameters == 5


def test_a_later_write_is_read_and_an_earlier_reader_is_not_changed():
    def run(net, x):
        y = net.conv(x)
        before = y + 1
        y[:, 0] = 0
        return before, y.relu()

    table = record(Net(run, conv=nn.Conv2d(3, 3, 1)), (3, 4, 4))
    assert [row.kind for row in table] == ["Conv2d", "add", "setitem", "relu"]
    assert [row.sources for row in table] == [(-1,), (0,), (0,), (2,)]


def test_a_layer_whose_input_cannot_be_followed_is_named():
    def run(net, x):
        return net.second(torch.tensor(net.first(x).tolist()))

    table = record(Net(run, first=nn.Conv2d(3, 2, 1), second=nn.Conv2d(2, 2, 1)), (3, 4, 4))
    assert table.lost == ["second"] and table.at_least and table.macs == 16 * 6
    for page in (str(table), html.unescape(table._repr_html_()).replace("\xa0", " ")):
        assert "could not be followed: second)" in page and "at least 96" in page
    assert "(in no row) 6" in " ".join(str(table).split())


# --- work ---------------------------------------------------------------------------------------


def attention():
    return Net(lambda net, x: F.scaled_dot_product_attention(x, x, x))


COUNTED = {
    "attention": (attention, (2, 4, 65, 16), 2 * 4 * 65 * 65 * 16),
    "encoder": (
        lambda: nn.TransformerEncoderLayer(16, 2, 32, batch_first=True),
        (2, 9, 16),
        9 * (4 * 16 * 16 + 2 * 9 * 16 + 2 * 16 * 32),
    ),
    "lstm": (lambda: nn.LSTM(8, 4, 2, bidirectional=True, batch_first=True), (2, 5, 8), 5 * 768),
    "gru": (lambda: nn.GRU(8, 4, batch_first=True), (2, 5, 8), 5 * 12 * 12),
    "rnn": (lambda: nn.RNN(8, 4, batch_first=True), (2, 5, 8), 5 * 4 * 12),
    "cell": (lambda: nn.LSTMCell(8, 4), (2, 8), 16 * 12),
    "vector": (lambda: Net(lambda net, x: x @ torch.ones(8)), (2, 5, 8), 5 * 8),
}


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("name", COUNTED)
def test_work_is_counted_alike_on_each_device(name, device):
    build, shape, macs = COUNTED[name]
    with torch.device(device):
        table = record(build(), torch.zeros(shape))
    assert table.macs == macs and not table.at_least


@pytest.mark.parametrize(
    "run",
    [
        lambda net, x: torch.fft.fft2(x).real,
        lambda net, x: F.grid_sample(x, torch.zeros(2, 4, 4, 2), align_corners=False),
        lambda net, x: F.bilinear(x, x, torch.ones(3, 8, 8)),
        lambda net, x: torchvision.ops.deform_conv2d(
            x, torch.zeros(2, 18, 8, 8), torch.ones(3, 3, 3, 3), padding=1
        ),
        lambda net, x: torch.cdist(x, x),
    ],
)
def test_work_that_is_not_counted_is_not_shown_as_0(run):
    table = record(Net(lambda net, x: net.conv(run(net, x)), conv=nn.Conv2d(3, 2, 1)), (3, 8, 8))
    assert table[0].at_least and table.at_least and table.fold().at_least
    lines = str(table).splitlines()
    assert "not counted" in lines[2] and lines[-1].endswith(f"at least {table.macs:,}")
    assert table.macs == table["conv"].macs > 0


# --- windows ------------------------------------------------------------------------------------


def test_windows_of_one_and_three_axes_are_shown_as_they_are():
    one = record(
        nn.Sequential(nn.Conv1d(2, 3, 5, padding=2), nn.AvgPool1d(2)), torch.zeros(2, 2, 8)
    )
    assert [row.window.kernel for row in one] == [(5,), (2,)] and one.dead == 0
    assert [line.split()[2] for line in str(one).splitlines()[2:4]] == ["5", "2"]
    three = record(nn.Conv3d(2, 3, (1, 3, 3), padding=(0, 1, 1)), torch.zeros(2, 2, 4, 6, 6))
    assert "1×3×3" in str(three) and three[0].receptive_field == (1, 3, 3)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_live_tap_is_one_whose_gradient_is_not_zero(axes, transposed, size):
    kind = getattr(nn, f"Conv{'Transpose' * transposed}{axes}d")
    conv = kind(1, 1, 5, stride=2, padding=2, bias=False)
    pictures = torch.rand(1, 1, *[size] * axes) + 1
    conv(pictures).sum().backward()
    row = record(conv, pictures)[0]
    assert torch.equal(live_taps(row), conv.weight.grad[0, 0] != 0)
    assert row.dead == (conv.weight.grad == 0).sum()
    assert row.window.kernel == (5,) * axes


def test_padding_with_pixels_kills_no_tap():
    conv = nn.Conv2d(1, 1, 5, padding=2, padding_mode="circular")
    assert record(conv, (1, 2, 2)).dead == 0


def test_a_row_keeps_what_its_readers_need():
    table = record(torchvision.models.googlenet(init_weights=False), (3, 64, 64))
    assert table["conv1.conv"].short_name == "conv"
    assert table["maxpool1"].ceil and not table["conv1.conv"].ceil
    assert table["maxpool1"].is_pool and table["avgpool"].is_pool and not table["fc"].is_pool
    assert record(nn.Conv2d(4, 8, 3, groups=2), (4, 8, 8))[0].groups == 2


# --- what may reach a layer ---------------------------------------------------------------------


def test_layers_that_pass_on_whatever_they_get():
    def run(net, x):
        assert net.none(None) is None and net.empty(None) is None
        y, z = net.pair((net.conv(x), x))
        return net.pair({"sum": y + z})["sum"]

    model = Net(
        run, none=nn.Identity(), empty=nn.Sequential(), pair=nn.Identity(), conv=nn.Conv2d(3, 3, 1)
    )
    table = record(model, (3, 4, 4))
    assert [row.name for row in table] == ["conv", "pair[0]", "pair[1]", "add", "pair (2)"]
    assert table["add"].sources == (1, 2)


def test_a_view_of_a_parameter_is_followed_to_the_parameter():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.zeros(1, 1, 3))
            self.norm, self.mix = nn.LayerNorm(3), nn.Linear(3, 3)

        def forward(self, images):
            token = self.token.expand(len(images), -1, -1)
            tokens = torch.cat([token, images.flatten(2).mT], dim=1)
            return self.mix(tokens) + self.norm(token)

    table = record(Tokens(), (3, 4, 4))
    assert table["cat"].parameters == 3 and table.lost == ["norm"]
    assert sum(row.parameters for row in table) + 6 == table.parameters


def test_a_scripted_part_is_recorded_step_by_step():
    with warnings.catch_warnings(action="ignore"):  # torch.jit is on its way out
        part = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()))
    model = nn.Sequential(part, nn.Conv2d(4, 2, 1))
    table = record(model, (3, 8, 8))
    assert [row.kind for row in table] == ["convolution", "relu", "Conv2d"]
    assert [row.parameters for row in table] == [112, 0, 10] and table["convolution"].macs == 6912
    assert table[-1].receptive_field == (3, 3) and not model[1]._forward_hooks


@pytest.mark.parametrize(
    "norm", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm]
)
def test_layers_with_parametrized_weights_are_layers(norm):
    table = record(nn.Sequential(norm(nn.Conv2d(3, 4, 3)), nn.ReLU()), (3, 8, 8))
    assert [row.kind for row in table] == ["Conv2d", "ReLU"] and not table.lost
    assert table[0].parameters == table.parameters and table[0].window.kernel == (3, 3)


def test_layers_called_with_names():
    model = Net(lambda net, x: net.conv(input=x), conv=nn.Conv2d(3, 4, 3))
    assert record(model, (3, 8, 8))["conv"].sources == (-1,)


def test_layers_in_a_plain_list_have_no_parameters_of_the_network():
    model = Net(lambda net, x: net.last(net.hidden[0](x)), last=nn.Conv2d(4, 2, 1))
    model.hidden = [nn.Conv2d(3, 4, 3)]
    table = record(model, (3, 8, 8))
    assert [row.parameters for row in table] == [0, 10] and table.parameters == 10


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(3, 4, 3), Net(lambda net, x: F.conv2d(x, torch.ones(2, 3, 1, 1)))]
)
def test_a_single_picture_is_refused_with_a_reason(layer):
    with pytest.raises(
        ValueError, match=r"cannot be recorded, because .* no batch axis.*\[3, 8, 8\]"
    ):
        record(nn.Sequential(layer), torch.zeros(3, 8, 8))


def test_numbers_of_numpy_are_whole_numbers():
    assert record(nn.Conv2d(3, 4, 3), (np.int64(3), np.int32(8), 8))[0].output == (2, 4, 6, 6)


def test_the_error_for_a_dictionary_is_short():
    with pytest.raises(ValueError, match="inputs must be a tensor") as caught:
        record(nn.Conv2d(3, 4, 3), {"images": torch.zeros(2, 3, 64, 64)})
    assert len(str(caught.value)) < 250


def test_numbers_cannot_be_kept_where_there_are_none():
    with META, pytest.raises(ValueError, match="keep must be False on the meta device"):
        record(nn.Conv2d(3, 4, 3), (3, 8, 8), keep=True)


def test_what_only_the_recorder_cannot_do_is_told_as_its_own(monkeypatch):
    def fail(*_):
        raise KeyError("a bug")

    monkeypatch.setattr(recorder, "fields_of", fail)
    with pytest.raises(ValueError, match="model runs but cannot be recorded, because KeyError"):
        record(nn.Conv2d(3, 4, 3), (3, 8, 8))


def test_the_table_of_a_failure_adds_up():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(7, 5))
    with pytest.raises(ShapeError) as caught:
        record(model, (3, 8, 8))
    lines = str(caught.value).splitlines()
    total = next(line for line in lines if line.startswith("total"))
    left = next(line for line in lines if line.startswith("(in no row)"))
    assert total.split()[1] == "152" and left.split()[-1] == "40"


# --- the network afterwards ---------------------------------------------------------------------


class Counting(nn.Module):
    """It changes its buffers, its input and whatever else a pass may change."""

    def __init__(self):
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))
        self.register_buffer("last", torch.ones(1))
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.norm.eval()

    def forward(self, images):
        self.passes += 1
        self.last = images.mul_(2).mean()
        return self.norm(self.conv(images))


STAGES = {
    "nothing": None,
    "eval": (nn.Module, "eval"),
    "hooks": (nn.Module, "register_forward_hook"),
    "start": (recorder.Follower, "start"),
    "function": (recorder.Follower, "follow"),
    "enter": (recorder._Recorder, "enter"),
    "leave": (recorder._Recorder, "leave"),
    "row": (recorder, "Row"),
    "forward": (nn.BatchNorm2d, "forward"),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_network_is_left_as_it_was_whatever_fails(monkeypatch, stage, error):
    model, pictures = Counting(), torch.ones(2, 3, 8, 8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    buffers = dict(model.named_buffers())
    if STAGES[stage]:

        def fail(*_, **__):
            raise error("planned")

        monkeypatch.setattr(*STAGES[stage], fail)
        with pytest.raises((ValueError, RuntimeError, KeyboardInterrupt)):
            record(model, pictures)
    else:
        record(model, pictures)
    assert model.training and model.conv.training and not model.norm.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(model.get_buffer(name) is buffer for name, buffer in buffers.items())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert (pictures == 1).all() and torch.is_grad_enabled()


# --- networks from elsewhere --------------------------------------------------------------------

ELSEWHERE = {
    "convnext_tiny": 224,
    "vit_b_16": 224,
    "swin_t": 224,
    "maxvit_t": 224,
    "swin_v2_t": 256,
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_published_costs_of_networks_with_attention_or_at_least_a_bound(name):
    published = torchvision.models.get_model_weights(name).DEFAULT.meta
    with META:
        table = record(torchvision.models.get_model(name), (3, ELSEWHERE[name], ELSEWHERE[name]))
    assert table.parameters == published["num_params"]
    if name == "swin_v2_t":  # its table of positions is computed from no picture
        assert table.at_least and table.macs / 1e9 < published["_ops"] and table.lost
    else:
        assert round(table.macs / 1e9, 3) == published["_ops"] and not table.at_least
