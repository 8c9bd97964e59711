"""The page that steps through a network without a kernel: what is in the file, and its limits."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cnn_lessons import data
from cnn_lessons.models import LeNet5, ResNet
from cnn_lessons.see import Stepper
from cnn_lessons.see.page import LEVELS, save_page
from cnn_lessons.shapes import record


def content(path) -> dict:
    """The data of a page, as its script reads it."""
    page = path.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found.group(1))


def decoded(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("L"))


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    torch.manual_seed(0)
    model, sample = LeNet5().eval(), data.generate(train=10, test=4)
    images = sample.normalise(sample.test.images)
    names = [sample.class_names[k] for k in sample.test.labels]
    path = tmp_path_factory.mktemp("page") / "lenet.html"
    save_page(path, model, images, sample.test.images, names, sample.class_names)
    return model, images, sample, path


def test_every_step_has_its_words_and_its_maps(lenet):
    model, images, sample, path = lenet
    page, rows = content(path), record(model, images[:1])
    assert [step["name"] for step in page["steps"]] == [row.name for row in rows]
    assert page["labels"] == [sample.class_names[k] for k in sample.test.labels]
    assert len(page["pictures"]) == 4 and page["totals"]["parameters"] == 62_006
    c1 = page["steps"][0]
    assert dict(c1["facts"])["Parameters"].endswith("= 456")
    assert [axis[:2] for axis in c1["field"]] == [[0, 4], [0, 4]] and c1["grid"] == [28, 28]
    assert page["left_out"] == []
    assert c1["given"][1] == ["Layer", "6 kernels of 5×5, stride 1, padding 0"]


def test_the_grey_sheet_is_the_layers_output_to_the_last_shade(lenet):
    model, images, _, path = lenet
    page = content(path)
    for picture in (0, 3):
        truth = model.features.c1(images)[picture].detach()
        maps = page["steps"][0]["maps"][picture]
        sheet = decoded(page["sheets"][maps["sheet"]])
        for k, tile in enumerate(truth):
            y, x = k // maps["columns"] * 28, k % maps["columns"] * 28
            shades = torch.from_numpy(sheet[y : y + 28, x : x + 28].astype(np.float32))
            values = (shades - 128) / (3 * LEVELS) * maps["largest"]
            assert (values - tile).abs().max() < maps["largest"] / LEVELS * 0.51


def test_one_unit_of_each_step_has_its_arithmetic_and_outputs_have_their_classes(lenet):
    model, images, sample, path = lenet
    page = content(path)
    for k, example in enumerate(page["steps"][0]["example"]):
        value = model.features.c1(images)[k, 0, 14, 14].item()
        assert example.startswith("Map 0, row 14, column 14: 5×5 window times kernel")
        assert float(example.rsplit("= ")[1].replace("−", "-")) == pytest.approx(value, abs=0.01)
    assert page["steps"][-1]["names"] == [*sample.class_names] and page["steps"][0]["names"] == []


def test_the_quiz_can_hide_what_a_step_reads(lenet):
    c3 = content(lenet[3])["steps"][2]
    assert c3["sources"] == [1] and c3["given"][0][1] == "step 1 (features.s2): [N, 6, 14, 14]"
    assert c3["masked"][0][1] == "step 1 (features.s2): its size is still to be guessed"


def test_scores_are_the_networks_own(lenet):
    model, images, sample, path = lenet
    step = content(path)["steps"][-1]
    for k, probabilities in enumerate(model(images).detach().softmax(dim=1)):
        name, _, share = step["scores"][k][0]
        assert name == sample.class_names[int(probabilities.argmax())]
        assert share == pytest.approx(float(probabilities.max()), abs=1e-4)
    assert content(path)["steps"][0]["scores"] == [[], [], [], []]


def test_the_stepper_of_a_notebook_writes_the_same_page(lenet, tmp_path):
    model, images, sample, path = lenet
    labels, names = sample.test.labels[:4], sample.class_names
    panel = Stepper(model, images, sample.test.images, labels, names)
    again = content(panel.save(tmp_path / "again.html"))
    once = content(path)
    assert again["steps"] == once["steps"] and again["sheets"] == once["sheets"]
    assert again["labels"][0] == f"0: {names[labels[0]]}"


def test_one_file_that_fetches_nothing_and_stays_small(lenet):
    page = lenet[3].read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)|url\(|@import|https?://""", page)
    assert len(page.encode()) < 100_000


class Evil(nn.Sequential):
    """Names that would break out of a page which trusts them."""


Evil.__name__ = "</script><script>alert(1)</script>"


def test_names_cannot_break_out_of_the_page(tmp_path):
    model = Evil(nn.Conv2d(3, 2, 3), nn.ReLU())
    evil = '"><img src=x onerror=alert(1)>\u202e&'
    path = save_page(
        tmp_path / "e.html", model, torch.rand(3, 8, 8), None, [evil], title="</title>"
    )
    page = path.read_text(encoding="utf-8")
    assert page.count("</script>") == 2 and "alert(1)</script>" not in page
    assert content(path)["labels"] == [evil] and content(path)["title"] == "</title>"


def test_what_does_not_fit_is_left_out_and_said(tmp_path):
    images = torch.rand(1, 3, 64, 64)
    whole = save_page(tmp_path / "a.html", ResNet(18, 10, stem="3x3").eval(), images)
    part = save_page(tmp_path / "b.html", ResNet(18, 10, stem="3x3").eval(), images, megabytes=0.5)
    assert content(whole)["left_out"] == []
    assert part.stat().st_size <= 500_000 < whole.stat().st_size
    assert any("the first" in words for words in content(part)["left_out"])
    assert any("averaged from" in words for words in content(part)["left_out"])


class Nothing(nn.Module):
    def forward(self, images):
        return images[:, :0]


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(48, 3)),
        nn.Sequential(nn.Conv2d(3, 5, 4)),  # maps of one pixel
        nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(2), nn.Conv1d(2, 3, 3)),
        nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 2, (3, 1, 1))),
        nn.Sequential(nn.ReLU()),
        Nothing(),
    ],
)
def test_outputs_of_any_number_of_axes(model, tmp_path):
    page = content(save_page(tmp_path / "n.html", model, torch.rand(2, 3, 4, 4)))
    assert all(len(step["maps"]) == 2 for step in page["steps"])


def test_numbers_that_are_none_are_drawn_as_zero(tmp_path):
    class Broken(nn.Module):
        def forward(self, images):
            return images * torch.tensor([1.0, float("nan"), float("inf")])[:, None, None]

    page = content(save_page(tmp_path / "n.html", Broken(), torch.ones(1, 3, 2, 2)))
    maps = page["steps"][0]["maps"][0]
    sheet = decoded(page["sheets"][maps["sheet"]])
    assert maps["largest"] == 1 and set(np.unique(sheet)) == {128, 128 + 3 * LEVELS}


def test_a_wrong_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"images must be a tensor \(C, H, W\)"):
        save_page(tmp_path / "n.html", LeNet5(), torch.rand(32, 32))


class Strange(nn.Module):
    """Puts a number, or what is none, into the first unit of each map."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, maps):
        maps = maps.clone()
        maps[..., 0, 0] = self.value
        return maps


def strict(name):
    raise ValueError(f"{name} is no JSON")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3e38])
@pytest.mark.parametrize(
    ("channels", "size"),
    [(4, (6, 6)), (4, (1, 1)), (1, (1, 50)), (2, (300, 1)), (4096, (2, 2))],
    ids=str,
)
def test_strange_numbers_and_sizes_are_shown_and_kept(tmp_path, value, channels, size):
    first, ends = nn.Conv2d(3, channels, 1), (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model, images = nn.Sequential(first, Strange(value), *ends), torch.rand(1, 3, *size)
    panel = Stepper(model, images)
    for number in range(len(panel.record)):
        panel.go(number)
        assert "Error" not in panel.shown.value and f"<b>{number}:" in panel.shown.value
    page = save_page(tmp_path / "page.html", model, images).read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    steps = json.loads(found[1], parse_constant=strict)["steps"]
    assert [step["maps"][0]["count"] for step in steps[:2]] == [channels] * 2
    assert decoded(json.loads(found[1])["sheets"][steps[1]["maps"][0]["sheet"]]).max() <= 254
