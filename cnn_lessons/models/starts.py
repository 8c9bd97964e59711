"""How the weights of a network are drawn at first: one function a rule, each from its paper.

Each one changes the network in place and returns it: `net = starts.he(VGG("D"))`. Weights are those
of convolutions and linear layers; all else stays as it is. `fan_in` is how many numbers one unit of
a layer reads; a layer of another kind takes part in `lecun` if it says it in an attribute.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


def own(model: Model) -> Model:
    """What the class of the network does itself: PyTorch's start if its docstring says nothing."""
    return model


def lecun(model: Model) -> Model:
    """LeNet-5's (LeCun and others 1998, appendix A): uniform within 2.4 / fan-in, biases too.

    A bias of C3, whose units read different numbers of maps, goes by the largest fan-in.
    """
    for module in model.modules():
        fan_in = getattr(module, "fan_in", None)
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
        if fan_in is None:
            continue
        fan_in = torch.as_tensor(fan_in, dtype=torch.float32)
        with torch.no_grad():
            for name, numbers in module.named_parameters(recurse=False):
                fan = fan_in if name == "weight" else fan_in.max()
                numbers.copy_((torch.rand_like(numbers) * 2 - 1) * 2.4 / fan)
    return model


def alexnet(model: Model) -> Model:
    """AlexNet's (Krizhevsky and others 2012, section 5): N(0, 0.01²), biases 0 or, in five, 1.

    The ones let the ReLUs of conv2, conv4, conv5, fc6 and fc7 begin with positive inputs.
    """
    vgg(model, std=0.01)
    for name, module in model.named_modules():
        if name.split(".")[-1] in ("conv2", "conv4", "conv5", "fc6", "fc7"):
            nn.init.ones_(module.bias)
    return model


def vgg(model: Model, std: float = 0.1) -> Model:
    """VGG's (Simonyan, Zisserman 2014, section 3.1): N(0, std²), biases 0.

    The paper says "10⁻² variance", which is a standard deviation of 0.1; many read it as 0.01. The
    deeper columns do not train with it: the paper trained A, and copied layers from it.
    """
    return _draw(model, partial(nn.init.normal_, std=std))


def glorot(model: Model) -> Model:
    """Glorot, Bengio 2010, section 4.2: uniform, variance 2 / (fan-in + fan-out), biases 0.

    VGG's authors found after their own start that this one needs no copied layers.
    """
    return _draw(model, nn.init.xavier_uniform_)


def he(model: Model) -> Model:
    """He and others 2015 (arXiv:1502.01852, section 2.2), for ReLUs: N(0, 2 / fan-in), biases 0.

    ResNet's start; and what the networks of the course need that are deep and have no batch norm.
    """
    return _draw(model, partial(nn.init.kaiming_normal_, nonlinearity="relu"))


def article(model: Model) -> Model:
    """The article's option: convolutions He's, by fan-out, linear layers N(0, 0.01²), biases 0."""
    by_fan_out = partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu")
    return _draw(model, by_fan_out, linear=partial(nn.init.normal_, std=0.01))


def _draw(model: Model, draw: Callable[[Tensor], Tensor], linear: Callable | None = None) -> Model:
    """Draw the weights, those of linear layers by `linear` if it is given; biases 0."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            (linear if linear and isinstance(module, nn.Linear) else draw)(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


# By the names that a recipe may give as its start.
STARTS = {start.__name__: start for start in (own, lecun, alexnet, vgg, glorot, he, article)}
