"""One step of training, as the lessons write it by hand; `loop.fit` is the loop with comfort."""

# As the learner writes it: without asking whether a gradient is there, which it is.
# mypy: disable-error-code="operator, misc, assignment"

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def kernel_step(layer: nn.Module, picture: Tensor, wanted: Tensor, rate: float) -> float:
    """Lesson 00: move the weight of a layer so that its answer comes nearer to what is wanted.

    `picture` and `wanted` are what the layer reads and should give, float (N, C, H, W) each. The
    loss is the mean of the squared differences before the step; it is returned.
    """
    loss = (layer(picture) - wanted).square().mean()
    loss.backward()
    with torch.no_grad():
        layer.weight -= rate * layer.weight.grad
    layer.zero_grad()
    return loss.item()


def batch_step(
    net: nn.Module,
    velocity: dict[str, Tensor],
    images: Tensor,
    labels: Tensor,
    rate: float,
    momentum: float,
) -> float:
    """Lesson 01: one step of stochastic gradient descent with momentum, on one batch.

    Images (N, C, H, W), labels (N,). `velocity` has a tensor for each parameter, by its name, of 0
    at first: it becomes momentum * velocity + gradient, and the parameter moves against it. That is
    `torch.optim.SGD` without Nesterov's change and weight decay. Returns the cross-entropy before
    the step.
    """
    loss = F.cross_entropy(net(images), labels)
    loss.backward()
    with torch.no_grad():
        for name, weight in net.named_parameters():
            velocity[name] = momentum * velocity[name] + weight.grad
            weight -= rate * velocity[name]
    net.zero_grad()
    return loss.item()
