"""How a network does: its answers, its loss and its accuracy."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnn_lessons.training.history import Result
from cnn_lessons.training.state import kept


def predict(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Logits (N, classes) and labels (N,) of all pictures, on the CPU, in evaluation mode.

    The mode of each layer is put back afterwards. Raises ValueError where there are no batches.
    """
    with kept(model), kept(model), torch.no_grad():
        model.eval()
        pairs = [(model(images), labels) for images, labels in batches]
    if not pairs:
        raise ValueError("batches must hold at least one picture; got none")
    logits, labels = zip(*pairs)
    return torch.cat(logits).float().cpu(), torch.cat(labels).cpu()


def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Result:
    """Mean loss and accuracy over all pictures: correct ones are counted, whatever the batches."""
    logits, labels = predict(model, batches)
    correct = int((logits.argmax(dim=1) == labels).sum())
    return Result(float(F.cross_entropy(logits, labels)), correct / len(labels), len(labels))


def confusion_matrix(labels: Tensor, predicted: Tensor, num_classes: int) -> Tensor:
    """Counts (num_classes, num_classes), int64: entry [t, p] is how often true t was called p."""
    pairs = labels * num_classes + predicted
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)
