"""The networks, one file a paper."""

from .lenet import LeNet5, LeNet5Original

__all__ = ["LeNet5", "LeNet5Original"]
