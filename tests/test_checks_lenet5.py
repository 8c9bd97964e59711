"""The checks of lesson 01: right answers pass in any form, and each slip gets its own sentence."""

import itertools
from math import e, log, log10

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from cnn_lessons import checks, training
from cnn_lessons.checks import lenet5
from cnn_lessons.models import LeNet5
from tests.verdicts import ChecksOfALesson, broken, prints

NAMES = tuple("abcdefghij")


def check_names(function):
    return checks.check_names(function, NAMES)


check_names.__name__ = "check_names"


def names(indices):
    return [NAMES[k] for k in indices]


def logits(model, images):
    return model.eval()(images)


def mnist(padding=2, features=400, c5=120, f6=84, bend=nn.ReLU, pool=nn.MaxPool2d, end=(), **conv):
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=padding), pool(2),
        nn.Conv2d(6, 16, **{"kernel_size": 5} | conv), pool(2), nn.Flatten(),
        nn.Linear(features, c5), bend(), nn.Linear(c5, f6), bend(), nn.Linear(f6, 10), *end,
    )  # fmt: skip


class InFunctions(nn.Module):
    """The network in another style, with the zeros around the picture put by hand."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.c5, self.f6, self.output = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, images):
        maps = F.avg_pool2d(torch.tanh(self.first(F.pad(images, (2, 2, 2, 2)))), 2)
        maps = F.avg_pool2d(torch.tanh(self.second(maps)), 2)
        return self.output(torch.tanh(self.f6(torch.tanh(self.c5(torch.flatten(maps, 1))))))


def with_c5_as_a_convolution():
    features = mnist()[:4]
    end = (nn.Flatten(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
    return nn.Sequential(*features, nn.Conv2d(16, 120, 5), nn.ReLU(), *end)


def lazy():
    net = mnist()
    net[5] = nn.LazyLinear(120)
    return net


class Enlarged(InFunctions):
    def forward(self, images):
        return super().forward(F.interpolate(images, size=(28, 28), mode="bilinear"))


def mine(**other):
    """A learner's class, of which `other` replaces layers."""
    layers = {
        "c1": nn.Conv2d(3, 6, 5), "s2": nn.MaxPool2d(2), "c3": nn.Conv2d(6, 16, 5),
        "s4": nn.MaxPool2d(2), "c5": nn.Linear(400, 120), "f6": nn.Linear(120, 84),
        "output": nn.Linear(84, 10),
    }  # fmt: skip

    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            for name, layer in (layers | other).items():
                setattr(self, name, layer)

        def forward(self, images):
            maps = self.s4(self.c3(self.s2(self.c1(images))))
            return self.output(F.relu(self.f6(F.relu(self.c5(maps.flatten(1))))))

    return Mine


def batch_step(
    sign=-1,
    loss=F.cross_entropy,
    keep_velocity=True,
    new=lambda v, g, momentum: momentum * v + g,
    by=lambda v, g, rate: rate * v,
    clear=True,
    back=lambda net, images, labels, loss: loss,
):
    """A learner's step with momentum."""

    def step(net, velocity, images, labels, rate, momentum):
        found = loss(net(images), labels)
        found.backward()
        with torch.no_grad():
            for name, weight in net.named_parameters():
                v = new(velocity[name], weight.grad, momentum)
                velocity[name] = v if keep_velocity else velocity[name]
                weight += sign * by(v, weight.grad, rate)
        if clear:
            net.zero_grad()
        return back(net, images, labels, found)

    return step


def rate_in_the_velocity(net, velocity, images, labels, rate, momentum):
    """Another way to write it, the same as long as the rate stays."""
    loss = F.cross_entropy(net(images), labels)
    loss.backward()
    for name, weight in net.named_parameters():
        velocity[name].mul_(momentum).sub_(rate * weight.grad)
        weight.data += velocity[name]
        weight.grad = None
    return loss


def with_gradients_on(net, velocity, images, labels, rate, momentum):
    F.cross_entropy(net(images), labels).backward()
    for weight in net.parameters():
        weight -= rate * weight.grad


KEPT = {}


def with_a_velocity_of_its_own(net, velocity, *given):
    """It reads the velocity of its first call, whatever it is given."""
    return batch_step()(net, KEPT.setdefault("velocity", velocity), *given)


class NoSuper(nn.Module):
    def __init__(self):
        self.c1 = nn.Conv2d(3, 6, 5)


class NoLayers(nn.Module):
    def __init__(self):
        pass


def every_second_time():
    calls = itertools.count()
    return lambda *given: None if next(calls) % 2 else names(logits(*given).argmax(1))


RIGHT = [
    (checks.check_lenet5, mine()),
    (checks.check_lenet5, LeNet5),
    (checks.check_batch_step, training.batch_step),
    (checks.check_batch_step, batch_step()),
    (checks.check_batch_step, rate_in_the_velocity),
    (checks.check_c1_parameters, 456),
    (checks.check_c1_parameters, torch.tensor([456])),
    (checks.check_c1_parameters, np.array([456])),
    (checks.check_c3_parameters, 1516.0),
    (checks.check_c3_parameters, np.int64(1516)),
    (checks.check_floor, log(1 + 9 / e)),
    (checks.check_floor, torch.tensor(1.4612)),
    (checks.check_floor, 1.46),
    (check_names, lambda m, x: names(logits(m, x).argmax(dim=1).tolist())),
    (check_names, lambda m, x: names(logits(m, x).softmax(dim=1).max(dim=1).indices)),
    (check_names, lambda m, x: tuple(names(logits(m, x).detach().numpy().argmax(axis=1)))),
    (check_names, lambda m, x: np.array(NAMES)[logits(m, x).argmax(1).numpy()]),
    (checks.check_fits_mnist, mnist(2, 400)),
    (checks.check_fits_mnist, mnist(0, 256)),
    (checks.check_fits_mnist, InFunctions()),
    (checks.check_fits_mnist, with_c5_as_a_convolution()),
    (checks.check_fits_mnist, lazy()),
]


STEP = checks.check_batch_step
WRONG = [
    # the check, an answer, words that the message must have, words that it must not have
    (checks.check_lenet5, mine()(), "Pass the class itself", "None"),
    (checks.check_lenet5, mine(c3=None), "c3 is still None", "agree"),
    (checks.check_lenet5, mine(s2=nn.AvgPool2d(2)), "AvgPool2d|MaxPool2d", "still None"),
    (checks.check_lenet5, mine(c1=nn.Conv2d(3, 6, 5, padding=2)), "failed|shapes", "agree"),
    (checks.check_lenet5, mine(c3=nn.Conv2d(6, 16, 3)), "c3.weight [16, 6, 3, 3]", "failed"),
    (checks.check_lenet5, mine(c5=nn.Linear(16 * 28 * 28, 120)), "c5.weight", "failed"),
    (checks.check_lenet5, mine(s2=nn.MaxPool2d(2, stride=1)), "failed", "still None"),
    (checks.check_lenet5, NoSuper, "NoSuper()|super().__init__()", "agree"),
    (checks.check_lenet5, NoLayers, "begins with super().__init__()", "agree"),
    (checks.check_lenet5, broken, "ZeroDivisionError|return 1 / 0", "None"),
    (STEP, batch_step(sign=1), "climb", "rate is"),
    (STEP, batch_step(clear=False), "to 0 after the step", "climb"),
    (STEP, batch_step(by=lambda v, g, rate: v), "rate is missing", "climb"),
    (STEP, batch_step(keep_velocity=False), "is not kept", "whole"),
    (STEP, batch_step(new=lambda v, g, m: g), "is not kept", "whole"),
    (STEP, batch_step(new=lambda v, g, m: m * v + (1 - m) * g), "(1 - momentum)", "not kept"),
    (STEP, batch_step(by=lambda v, g, rate: rate * (g + 0.9 * v)), "Nesterov", "not kept"),
    (STEP, batch_step(loss=lambda z, y: F.cross_entropy(z.softmax(1), y)), "the logits", "mean"),
    (STEP, batch_step(loss=lambda z, y: F.cross_entropy(z, y, reduction="sum")), "mean", "logits"),
    (STEP, batch_step(sign=0), "stay where they are", "climb"),
    (STEP, batch_step(back=lambda *of: None), "Now return the loss", "climb"),
    (STEP, with_gradients_on, "torch.no_grad", "climb"),
    (STEP, with_a_velocity_of_its_own, "outside of the step is kept", "not kept"),
    (STEP, batch_step(back=lambda *of: f"{of[-1].item():.3f}"), "return the loss", "climb"),
    (checks.check_c1_parameters, 6 * 5 * 5 * 3, "counted the weights|one bias", "MACs"),
    (checks.check_c1_parameters, 6 * 5 * 5, "six kernels of 5·5|3 input channels", "1998"),
    (checks.check_c1_parameters, 6 * (5 * 5 + 1), "1998", "six kernels of"),
    (checks.check_c1_parameters, 6 * 5 * 5 * 3 + 3, "not one per input channel", "too"),
    (checks.check_c1_parameters, 6 * 5 * 5 * 3 + 6 + 3, "each input channel too", "pair"),
    (checks.check_c1_parameters, 5 * 5 * 3 + 1, "one kernel with its bias", "weights"),
    (checks.check_c1_parameters, 6 * (5 * 5 * 3) * 28 * 28, "MACs", "connections"),
    (checks.check_c1_parameters, 6 * (5 * 5 + 1) * 3, "each pair of channels", "too"),
    (checks.check_c1_parameters, 456 * 28 * 28, "connections", "MACs"),
    (checks.check_c1_parameters, 460, "exact", "is not it"),
    (checks.check_c1_parameters, 1_234_567, "1,234,567 is not it", "e+"),
    (checks.check_c3_parameters, 16 * (6 * 25 + 1), "every map reading all six", "without biases"),
    (checks.check_c3_parameters, 16 * 6 * 25, "without biases", "Use Table I"),
    (checks.check_c3_parameters, 60 * 25, "Add one bias", "pairs and"),
    (checks.check_c3_parameters, 6 * 3 + 9 * 4 + 6, "60 pairs", "Add one"),
    (checks.check_c3_parameters, 60 + 16, "pairs and the biases", "one kernel"),
    (checks.check_c3_parameters, 16 * (25 + 1), "one kernel for each map of C3", "pairs"),
    (checks.check_c3_parameters, 60 * 25 + 6, "so 16, not 6", "connections"),
    (checks.check_c3_parameters, 60 * (25 + 1), "60 connections|one per map", "not 6"),
    (checks.check_c3_parameters, (1, 516), "comma makes 2", "not it"),
    (checks.check_c3_parameters, "1516", "quotes", "comma"),
    (checks.check_floor, 0, "without limit", "log(10)"),
    (checks.check_floor, log(10), "log(10)", "base"),
    (checks.check_floor, 2.3, "log(10)", "Rounded"),
    (checks.check_floor, e / (e + 9), "probability. The loss", "base"),
    (checks.check_floor, log10(1 + 9 / e), "base 10", "sign"),
    (checks.check_floor, -log(1 + 9 / e), "sign", "probability"),
    (checks.check_floor, log(1 + 10 / e), "Nine others", "highest"),
    (checks.check_floor, log(1 + 9 * e), "Turned round", "Nine"),
    (checks.check_floor, log(9 + e), "a wrong class gets the 1", "Turned"),
    (checks.check_floor, 1.3, "1 for the true class", "Rounded"),
    (checks.check_floor, 1, "digit or two more", "sign"),
    (check_names, lambda m, x: names(m(x).argmax(1)), "dropout is active", "largest"),
    (check_names, lambda m, x: names(logits(m, x).argmin(1)), "smallest", "Ten"),
    (check_names, lambda m, x: names(logits(m, x).argsort(1)[:, 1]), "not those of the largest",
     "smallest"),
    (check_names, lambda m, x: names(logits(m, x).argmax(0)), "dim=0", "dim=1"),
    (check_names, lambda m, x: NAMES[logits(m, x).argmax()], "without dim=1", "values"),
    (check_names, lambda m, x: names(logits(m, x).argmax()), "without dim=1", "squeeze"),
    (check_names, lambda m, x: names(logits(m, x).max(1)[0].tolist()), "need the indices",
     "without dim=1"),
    (check_names, lambda m, x: names(logits(m, x).max(1).values), "one whole number",
     "without dim=1"),
    (check_names, lambda m, x: NAMES[logits(m, x).argmax(1).tolist()], "for k in", "without dim"),
    (check_names, lambda m, x: logits(m, x).argmax(1), "It returns a tensor", "of ten"),
    (check_names, logits, "largest of ten|class_names[k]", "dropout"),
    (check_names, lambda m, x: logits(m, x).argmax(1).tolist(), "returns numbers", "tensor"),
    (check_names, lambda m, x: [[name] for name in names(logits(m, x).argmax(1))],
     "returns ['|Turn each", "numbers."),
    (check_names, lambda m, x: names(logits(m, x).argmax(1).squeeze().tolist()), "1 picture",
     "without dim"),
    (check_names, lambda m, x: NAMES[logits(m, x).argmax(1)[0]], "a list of 8", "Ten"),
    (check_names, prints, "prints", "attempted"),
    (check_names, every_second_time(), "a list of 8 name(s)", "dropout"),
    (check_names, lambda m, x: (name for name in names(logits(m, x).argmax(1))), "a list of 8",
     "largest"),
    (check_names, broken, "ZeroDivisionError|8 picture(s)", "argmax"),
    (check_names, names, "TypeError", "Turn"),
    (checks.check_fits_mnist, mnist(0, 400), "does not run|5 (Linear) failed", "pools"),
    (checks.check_fits_mnist, nn.Sequential(*mnist()[:5], nn.Linear(400, 10)),
     "C5, F6|not [10]", "ReLU"),
    (checks.check_fits_mnist, nn.Sequential(*mnist()[:7], nn.Linear(120, 10)),
     "C5, F6|not [120, 10]", "ReLU"),
    (checks.check_fits_mnist, mnist(c5=128), "120, 84, 10 units, not [128, 84, 10]", "ReLU"),
    (checks.check_fits_mnist, mnist(bend=nn.Identity), "two linear layers in a row", "units"),
    (checks.check_fits_mnist, mnist(end=[nn.Softmax(dim=1)]), "softmax|logits", "units"),
    (checks.check_fits_mnist, mnist(end=[nn.LogSoftmax(dim=1)]), "softmax|logits", "units"),
    (checks.check_fits_mnist, mnist(end=[nn.ReLU()]), "last step is ReLU", "softmax"),
    (checks.check_fits_mnist, mnist(0, 16 * 20 * 20, pool=lambda size: nn.Identity()),
     "C5 reads 6,400|halve", "padding"),
    (checks.check_fits_mnist, mnist(0, 16 * 5 * 5, kernel_size=3), "kernels of LeNet-5's|5×5",
     "C5 reads"),
    (checks.check_fits_mnist, nn.Sequential(nn.Flatten(), nn.Linear(784, 10)),
     "two convolutions", "C5"),
    (checks.check_fits_mnist, nn.Sequential(nn.Upsample(size=(32, 32)), *mnist(0)), "larger", "C5"),
    (checks.check_fits_mnist, Enlarged(), "larger", "C5"),
    (checks.check_fits_mnist, nn.Sequential(nn.Flatten(), nn.Linear(784, 3)), "[N, 3]", "C5"),
    (checks.check_fits_mnist, mnist()[:4], "ends with maps", "C5"),
    (checks.check_fits_mnist, mnist, "mnist_net must be a network", "run"),
    (checks.check_fits_mnist, InFunctions, "a class|InFunctions()", "run"),
]  # fmt: skip


NOT_YET = [
    (checks.check_lenet5, None, "MyLeNet5"),
    (checks.check_lenet5, mine(**dict.fromkeys(lenet5.LAYERS)), "Fill the gaps"),
    (STEP, None, "batch_step"),
    (STEP, lambda *given: None, "does nothing yet"),
    (checks.check_c1_parameters, None, "c1_parameters"),
    (checks.check_c3_parameters, None, "c3_parameters"),
    (checks.check_floor, None, "lowest_loss"),
    (check_names, None, "Write name_pictures"),
    (check_names, lambda model, images: None, "returns nothing yet"),
    (checks.check_fits_mnist, None, "1 × 28 × 28"),
]


class TestTheChecks(ChecksOfALesson):
    lesson, right, wrong, not_yet = lenet5, RIGHT, WRONG, NOT_YET


def test_a_right_network_is_told_how_it_fits():
    for answer, how in (
        (mnist(2, 400), "padding, with 61,706"),
        (InFunctions(), "padding"),
        (mnist(0, 256), "a smaller first linear layer, with 44,426"),
        (nn.Sequential(nn.ZeroPad2d(2), *mnist(0)), "padding"),
    ):
        assert how in checks.check_fits_mnist(answer).text


def test_the_numbers_are_those_of_the_networks():
    c1 = nn.Conv2d(3, 6, 5)
    assert checks.check_c1_parameters(sum(p.numel() for p in c1.parameters())).passed
    best = torch.tensor([[1.0] + 9 * [0.0]])
    assert checks.check_floor(F.cross_entropy(best, torch.tensor([0]))).passed
