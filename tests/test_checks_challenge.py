"""The challenges: limits and accuracy are measured, and no entry of a scoreboard is ever lost."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from cnn_lessons import checks, data, training
from cnn_lessons.checks.challenge import scoreboard
from cnn_lessons.models import LeNet5
from tests.verdicts import NONSENSE

MADE_UP = replace(data.generate(train=100, test=10), name="CIFAR-10 (made up)")


class Sure(nn.Module):
    """Says for all pictures the one class, which it has learned."""

    def __init__(self, answer=3):
        super().__init__()
        self.read = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10))
        nn.init.zeros_(self.read[-1].weight)
        with torch.no_grad():
            self.read[-1].bias.copy_(torch.eye(10)[answer])

    def forward(self, images):
        return self.read(images)


@pytest.fixture
def judge(tmp_path):
    return partial(checks.challenge, lesson="01", folder=tmp_path)


def test_the_accuracy_is_measured_on_the_validation_pictures(judge):
    network = LeNet5()
    network.classifier.output.bias.data[MADE_UP.validation.labels[0]] = 1e3  # its only answer
    pictures = MADE_UP.batches("validation", 500)
    accuracy = training.evaluate(network, pictures).accuracy
    assert 0 < accuracy < 1
    spread = 100 * (accuracy * (1 - accuracy) / len(MADE_UP.validation)) ** 0.5
    verdict = judge(network, MADE_UP, accuracy - 0.01, parameters=62_006)
    assert verdict.passed is True
    found = f"{100 * accuracy:.1f} ± {spread:.1f} % of 10 validation pictures of CIFAR"
    assert found in repr(verdict)
    assert "62,006 of 62,006 parameters, 651,720 MACs" in verdict.text
    assert judge(network, MADE_UP, accuracy).passed is False, "more than that is needed"
    assert "of 5 validation pictures" in judge(network, MADE_UP, 0.0, images=5).text


def test_a_network_keeps_its_mode_and_its_weights(judge):
    network = nn.Sequential(nn.BatchNorm2d(3), Sure()).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    judge(network, MADE_UP, 0.0)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("network", "limits", "says"),
    [
        (LeNet5(), {"parameters": 62_005}, "62,006 parameters are 1 too many"),
        (LeNet5(), {"macs": 600_000}, "651,720 MACs are 51,720 too many"),
        (LeNet5(), {"only": ("Conv2d", "ReLU")}, "allowed are only Conv2d, ReLU"),
        (Sure(), {"only": ("Conv2d", "Linear")}, "read.0 is AdaptiveAvgPool2d"),
        (nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(10)), {}, "no parameters"),
        (nn.Sequential(Sure(), nn.Softmax(dim=1)), {}, "ends with a softmax"),
        (nn.Sequential(Sure(), nn.Linear(10, 100)), {}, "[N, 100] and not [N, 10]"),
        (LeNet5, {}, "a class"),
    ],
)
def test_what_breaks_a_rule_gets_no_entry(judge, tmp_path, network, limits, says):
    verdict = judge(network, MADE_UP, 0.0, **limits)
    assert verdict.passed is False and says in verdict.text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("layers", "advised"), [(1, True), (2, True), (4, False)])
def test_to_average_the_maps_is_advised_where_one_linear_layer_holds_most(judge, layers, advised):
    """Of two alike each holds 45 % of the parameters, of four 24 %."""
    alike = [nn.Linear(48, 48) for _ in range(layers)]
    network = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), *alike, nn.Linear(48, 10))
    verdict = judge(network, MADE_UP, 0.0, parameters=100)
    assert verdict.passed is False and ("Average each map first" in verdict.text) is advised


def test_a_kind_is_allowed_as_a_module_and_as_a_function(judge):
    kinds = ("adaptive_avg_pool2d", "flatten", "Linear")
    assert judge(Sure(), MADE_UP, -1.0, only=kinds).passed is True


def test_nothing_is_not_attempted_and_nonsense_raises_nothing(judge, tmp_path):
    assert judge(None, MADE_UP, 0.5).passed is None
    for nonsense in NONSENSE:
        verdict = judge(nonsense, MADE_UP, 0.5)
        assert verdict.passed is False and repr(verdict)
    assert not list(tmp_path.iterdir())


def test_every_attempt_is_kept_once_and_the_best_stands_first(judge, tmp_path):
    path = tmp_path / "scoreboard_01.json"
    judge(Sure(0), MADE_UP, 0.9)
    judge(Sure(0), MADE_UP, 0.9, images=10)  # the same pictures: the same result
    judge(LeNet5(), MADE_UP, 0.9, name="wider")
    judge(LeNet5(10), MADE_UP, 0.9, name="wider", images=3)
    verdict = judge(Sure(1), MADE_UP, -1.0, images=2)
    entries = json.loads(path.read_text())
    assert [entry["name"] for entry in entries][:2] == ["attempt 1", "wider"]
    assert 3 <= len(entries) <= 5 and list(tmp_path.iterdir()) == [path]
    shares = [float(line.split("%")[0].split()[-1]) for line in verdict.text.split("\n")[3:]]
    assert shares == sorted(shares, reverse=True) and len(shares) == len(entries)


def test_generated_pictures_make_no_entry(judge, tmp_path):
    verdict = judge(Sure(), data.generate(train=100, test=10), -1.0)
    assert verdict.passed is True and "not CIFAR-10" in verdict.text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "no JSON", "[1]", '[{"name": 3}]', '{"rows": 3}', "{}"])
def test_a_file_of_another_kind_is_left_alone(judge, tmp_path, content):
    path = tmp_path / "scoreboard_01.json"
    path.write_text(content)
    verdict = judge(Sure(), MADE_UP, -1.0)
    assert verdict.passed is True and "is no scoreboard: not written" in verdict.text
    assert path.read_text() == content


def test_a_folder_that_cannot_be_written_spoils_no_verdict(judge, tmp_path):
    (tmp_path / "file").touch()
    verdict = judge(Sure(), MADE_UP, -1.0, folder=tmp_path / "file")
    assert verdict.passed is True and "was not written" in verdict.text


def test_what_the_course_reached_stands_on_the_board_too(judge, tmp_path):
    verdict = judge(Sure(), MADE_UP, -1.0, lesson="06")
    assert "ResNet-20" in verdict.text and "269,722" in verdict.text
    assert [entry["name"] for entry in json.loads((tmp_path / "scoreboard_06.json").read_text())]
    assert str(scoreboard([])).count("\n") == 1
