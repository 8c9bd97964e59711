"""Muon: SGD with momentum that makes the step of each kernel orthogonal before it takes it."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from cnn_lessons.training import Recipe


class Muon(torch.optim.Optimizer):
    """Muon of K. Jordan and others, 2024; Nesterov momentum as in PyTorch's SGD.

    A kernel (out, in, height, width) is taken as a matrix (out, rest). The gradient of such a
    matrix mostly has a few strong directions; its nearest orthogonal matrix moves in all of them
    alike. Biases and the vectors of a batch norm take the step of SGD. The time of a step grows
    with the parameters times the number of maps: little for ResNet-20, much for wide networks.

    Departures: all weights of two or more axes are matrices, the first and the last layer too, and
    the arithmetic is in the weights' own precision. torch.optim.Muon takes matrices alone.
    Source: kellerjordan.github.io/posts/muon
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ):
        options = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(parameters, options | {"capturable": True})  # a rate may be a tensor

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """Move every weight that has a gradient. A `closure` is not called."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum_buffer" not in state:  # the name that SGD has for it: see `Checkpoint`
                    state["momentum_buffer"] = torch.zeros_like(weight)
                summed = state["momentum_buffer"].mul_(momentum).add_(weight.grad)
                step = weight.grad + momentum * summed
                if weight.dim() > 1:
                    step = orthogonal(step.flatten(1)).view_as(weight)
                weight.mul_(1 - rate * group["weight_decay"]).sub_(rate * step)


def muon(model: nn.Module, recipe: Recipe) -> Muon:
    """For `training.fit(..., optimizer=muon)`. It wants a smaller rate than SGD."""
    return Muon(model.parameters(), recipe.learning_rate, recipe.momentum, recipe.weight_decay)


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """Nearly the orthogonal matrix next to `matrix` (out, rest), by `steps` of Newton and Schulz.

    Each step is an odd polynomial that moves all singular values towards 1, without computing
    them. They come out between about 0.7 and 1.2, times the root of out / rest where that is above
    1: so the outputs of a tall matrix change as much as those of a square one.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T * (matrix.shape[0] / matrix.shape[1]) ** 0.5 if tall else x
