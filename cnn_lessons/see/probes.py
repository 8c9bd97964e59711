"""What goes on inside a network: measured, not drawn.

Every function runs the model in evaluation mode and leaves it as it was, also after an error: its
modes, its buffers, its gradients, its hooks. Images come normalised, float, on the model's own
device; what is measured comes back on the CPU.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnn_lessons.models.resnet import BasicBlock
from cnn_lessons.training import cross_entropy

BATCH = 256  # images that are looked at together


def features_of(model: nn.Module, images: Tensor, name: str) -> Tensor:
    """The output (N, ...) of the layer called `name` for images (N, C, H, W).

    Names are those of `shapes.record` and of `model.named_modules()`. A layer that runs more than
    once gives its last output.
    Raises ValueError for a name that the model has not, for a layer that did not run, for one whose
    output is not a tensor, and for images that are not normalised.
    """
    _check_images(images, "images", 4)
    with torch.no_grad(), _left_as_it_was(model), _outputs_of(model, [name]) as outputs:
        parts = []
        for batch in images.split(BATCH):
            model(batch)
            parts.append(_output(outputs, name).cpu())
    return torch.cat(parts)


def grad_cam(model: nn.Module, image: Tensor, label: int, name: str) -> Tensor:
    """Where the layer called `name` speaks for the class `label`: a map (h, w), 0 or more.

    Grad-CAM of Selvaraju et al. 2017 (arXiv:1610.02391), equations 1 and 2: each map of the layer
    counts as much as the mean gradient of the class's logit on it, the maps are added with these
    weights, and what is below 0 is dropped. The picture is (C, H, W); h and w are the layer's.
    Raises ValueError for a name or label that the model has not, for a layer whose output is not
    maps or does not reach the logits, and for an image that is not normalised.
    """
    _check_images(image, "image", 3)
    with torch.inference_mode(False), torch.enable_grad(), _left_as_it_was(model):
        with _outputs_of(model, [name]) as outputs:
            # With a gradient asked for at the input, a model with frozen weights has one too.
            logits = model(image[None].clone().requires_grad_())
        _check_label(label, logits)
        maps = _output(outputs, name)
        if maps.dim() != 4:
            raise ValueError(f"name must be a layer with maps; {name!r} gives {tuple(maps.shape)}")
        (gradient,) = torch.autograd.grad(logits[0, label], maps, allow_unused=True)
    if gradient is None:
        raise ValueError(f"name must be a layer that the logits depend on; got {name!r}")
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * maps.detach()).sum(dim=1)[0].relu().cpu()


def nonsense(
    model: nn.Module, label: int, normalise: Callable[[Tensor], Tensor], steps: int = 100
) -> Tensor:
    """A picture, uint8 (3, 32, 32), that is noise to us and the class `label` to the model.

    It begins as noise. In each step every pixel moves by one of its 256 levels in the direction in
    which the class's probability grows: the sign of the gradient, as in Goodfellow, Shlens, Szegedy
    2014 (arXiv:1412.6572). `normalise` makes of pixels what the model reads. Raises ValueError for
    a label that the model has not, and for fewer than 0 steps.
    """
    if steps < 0:
        raise ValueError(f"steps must be 0 or more; got {steps}")
    place = next(model.parameters()).device
    drawn = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pixels = (128 + 40 * drawn).clamp(0, 255).to(place)
    with torch.inference_mode(False), torch.enable_grad(), _left_as_it_was(model):
        _check_label(label, model(normalise(pixels.clone())))
        for _ in range(steps):
            pixels.requires_grad_()
            logits = model(normalise(pixels.clone()))
            (gradient,) = torch.autograd.grad(logits.log_softmax(dim=1)[0, label], pixels)
            pixels = (pixels.detach() + gradient.sign()).clamp(0, 255)
    return pixels[0].round().byte().cpu()


class LayerStatistics(NamedTuple):
    """One layer's signal and gradient.

    `spread` is the standard deviation of a unit's output from picture to picture, the root mean
    square over the layer's units. `gradient` is |gradient of the loss| / |weights|, both Euclidean
    norms over all weights of the layer: the relative step at a learning rate of 1.
    """

    name: str
    spread: float
    gradient: float


def depth_statistics(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    loss: Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]] = cross_entropy,
) -> list[LayerStatistics]:
    """Signal and gradient of each layer with weights, in the order in which they run.

    One batch, images (N, C, H, W) and labels (N,), forward and back. Batch norm takes the batch's
    own mean and variance, as in training; dropout is off. `loss` gives the mean loss and the
    logits, as for `training.fit`; it may be one with auxiliary heads.
    Raises ValueError for fewer than 2 images, and for images that are not normalised.
    """
    _check_images(images, "images", 4)
    if len(images) < 2:
        raise ValueError(f"images must be 2 or more, for a spread; got {len(images)}")
    layers = {n: m for n, m in model.named_modules() if getattr(m, "weight", None) is not None}
    layers = {n: m for n, m in layers.items() if m.weight.dim() > 1 and m.weight.requires_grad}
    with torch.inference_mode(False), torch.enable_grad(), _left_as_it_was(model, True):
        with _outputs_of(model, layers) as outputs:
            value, _ = loss(model, images.clone(), labels.clone())
        weights = [layers[name].weight for name in outputs]
        gradients = torch.autograd.grad(value, weights, allow_unused=True)
    return [
        LayerStatistics(name, _spread(output), _relative(gradient, weight))
        for (name, output), weight, gradient in zip(outputs.items(), weights, gradients)
    ]


def residual_ratios(model: nn.Module, images: Tensor) -> dict[str, float]:
    """By block of a residual network: the spread of F(x) over that of what its shortcut carries.

    The spread is the standard deviation over all numbers; F(x) is what the last batch norm gives.
    Batch norm takes the mean and variance of these images (N, C, H, W), as in training, so that an
    untrained network can be measured too. Raises ValueError for images that are not normalised, and
    for a model without basic blocks that have a shortcut.
    """
    _check_images(images, "images", 4)
    blocks = [name for name, m in model.named_modules() if isinstance(m, BasicBlock) and m.shortcut]
    if not blocks:
        raise ValueError(
            f"model must have basic blocks with a shortcut; got {type(model).__name__}"
        )
    parts = [f"{name}.{part}" for name in blocks for part in ("bn2", "shortcut")]
    with torch.no_grad(), _left_as_it_was(model, True), _outputs_of(model, parts) as outputs:
        model(images)
    spreads = {part: float(_output(outputs, part).std()) for part in parts}
    return {name: spreads[f"{name}.bn2"] / spreads[f"{name}.shortcut"] for name in blocks}


def _spread(output: Tensor) -> float:
    # Apple's devices have no float64.
    return float(output.detach().cpu().double().var(dim=0).mean().sqrt())


def _relative(gradient: Tensor | None, weight: Tensor) -> float:
    return 0.0 if gradient is None else float(gradient.norm() / weight.detach().norm())


# --- how a model is watched ---------------------------------------------------------------------


@contextmanager
def _left_as_it_was(model: nn.Module, training_norms: bool = False) -> Iterator[None]:
    """Evaluation mode inside, but for batch norms with `training_norms`; then all as before."""
    modes = {module: module.training for module in model.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    for module in modes:
        module.training = training_norms and isinstance(module, nn.modules.batchnorm._BatchNorm)
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


@contextmanager
def _outputs_of(model: nn.Module, names) -> Iterator[dict[str, object]]:
    """What the layers called `names` give while the model runs, in the order in which they run."""
    layers, outputs = dict(model.named_modules()), {}
    for name in names:
        if name not in layers:
            near = get_close_matches(str(name), layers, n=6, cutoff=0.3)
            raise ValueError(
                f"name must be one of the model's layers, as shapes.record names them; got {name!r}"
                + (f"; near it are: {', '.join(near)}" if near else "")
            )

    def watch(name: str):
        def keep(module: nn.Module, inputs: tuple, output: object) -> object:
            outputs[name] = output
            # A copy goes on, so that a next layer that works in place does not change this one.
            return output.clone() if isinstance(output, Tensor) else output

        return keep

    hooks = [layers[name].register_forward_hook(watch(name)) for name in names]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


def _output(outputs: dict[str, object], name: str) -> Tensor:
    if not isinstance(outputs.get(name), Tensor):
        what = "gives no tensor" if name in outputs else "did not run"
        raise ValueError(f"name must be a layer that runs and gives a tensor; {name!r} {what}")
    return outputs[name]


def _check_images(images: Tensor, argument: str, dims: int) -> None:
    axes = "(N, C, H, W)" if dims == 4 else "(C, H, W)"
    if images.dim() != dims or not images.is_floating_point():
        got = f"{tuple(images.shape)} {str(images.dtype).removeprefix('torch.')}"
        raise ValueError(f"{argument} must be {axes}, float, normalised; got {got}")


def _check_label(label: int, logits: Tensor) -> None:
    if not 0 <= label < logits.shape[1]:
        raise ValueError(f"label must be 0 to {logits.shape[1] - 1}; got {label}")
