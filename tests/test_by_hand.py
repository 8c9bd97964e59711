"""The steps that lessons 00 and 01 write by hand, against PyTorch's own."""

import torch
from torch import nn
from torch.nn import functional as F

from cnn_lessons import data, training

SOBEL = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def test_a_kernel_step_is_a_step_of_sgd():
    torch.manual_seed(0)
    mine, theirs = nn.Conv2d(2, 3, 3, bias=False), nn.Conv2d(2, 3, 3, bias=False)
    theirs.load_state_dict(mine.state_dict())
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
    picture, wanted = torch.randn(2, 2, 6, 7), torch.randn(2, 3, 4, 5)
    for _ in range(3):
        loss = F.mse_loss(theirs(picture), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        returned = training.kernel_step(mine, picture, wanted, rate=0.1)
        assert abs(returned - loss.item()) < 1e-5
        torch.testing.assert_close(mine.weight, theirs.weight)


def test_random_numbers_become_the_sobel_filter():
    """Lesson 00 prints the kernel with two decimals and counts the steps."""
    torch.manual_seed(0)
    layer = nn.Conv2d(1, 1, 3, bias=False)
    ship = data.ship().float().mean(dim=0)[None, None]
    ship = (ship - ship.mean()) / ship.std()
    wanted = F.conv2d(ship, SOBEL[None, None])
    for _ in range(1_000):
        training.kernel_step(layer, ship, wanted, rate=0.1)
    assert (layer.weight[0, 0] - SOBEL).abs().max() < 0.07


def test_a_batch_step_is_a_step_of_sgd_with_momentum():
    torch.manual_seed(0)
    mine, theirs = (nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 10))
                    for _ in range(2))  # fmt: skip
    theirs.load_state_dict(mine.state_dict())
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    velocity = {name: torch.zeros_like(weight) for name, weight in mine.named_parameters()}
    images, labels = torch.randn(20, 3, 2, 2), torch.arange(20) % 10
    for _ in range(5):
        loss = F.cross_entropy(theirs(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        returned = training.batch_step(mine, velocity, images, labels, 0.1, 0.9)
        assert abs(returned - loss.item()) < 1e-5
    for a, b in zip(mine.parameters(), theirs.parameters()):
        torch.testing.assert_close(a, b)
