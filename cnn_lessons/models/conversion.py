"""Weights from elsewhere: those of torchvision under our names."""

from torch import Tensor, nn

WHY_NOT = {
    "AlexNet": "torchvision's is that of 'One weird trick' (arXiv:1404.5997), with other widths",
    "GoogLeNet": "torchvision's has batch norms, no biases, and 3×3 kernels for Table 1's 5×5",
}


def from_torchvision(state_dict: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The weights of torchvision's network under the names of ours, for `model.load_state_dict`.

    For VGG A, B, D, E (vgg11, 13, 16, 19, also _bn) and ResNet with stride on the 3x3: both list
    the same layers, and the order counts. Raises ValueError where a shape differs or the function
    would: A-LRN, the paper's stride, AlexNet and GoogLeNet.
    """
    name = type(model).__name__
    for paper, why in WHY_NOT.items():
        if name.startswith(paper):
            raise ValueError(f"model must be a VGG or a ResNet; got {name}: {why}")
    if getattr(model, "column", "") == "A-LRN" or getattr(model, "stride_on", "3x3") != "3x3":
        raise ValueError(f"model must have no LRN, and its stride on the 3x3; got {name}")
    ours = model.state_dict()
    if len(ours) != len(state_dict):
        raise ValueError(f"state_dict must have {len(ours)} tensors; got {len(state_dict)}")
    for (name, mine), (key, theirs) in zip(ours.items(), state_dict.items()):
        if mine.shape != theirs.shape:
            got = f"{key} of {tuple(theirs.shape)}"
            raise ValueError(f"state_dict must fit: {name} is {tuple(mine.shape)}; got {got}")
    return dict(zip(ours, state_dict.values()))
