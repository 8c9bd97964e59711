"""VGG (Simonyan, Zisserman 2014, arXiv:1409.1556): Table 1, columns A to E."""

from collections import OrderedDict
from math import sqrt

from torch import Tensor, nn

# One list a block, with a 2x2 max-pool after each; (3, 256) is the paper's "conv3-256".
# fmt: off
TABLE_1 = {
    "A": [[(3, 64)],     [(3, 128)],     [(3, 256)] * 2, [(3, 512)] * 2, [(3, 512)] * 2],
    "A-LRN": [[(3, 64), "LRN"],
                         [(3, 128)],     [(3, 256)] * 2, [(3, 512)] * 2, [(3, 512)] * 2],
    "B": [[(3, 64)] * 2, [(3, 128)] * 2, [(3, 256)] * 2, [(3, 512)] * 2, [(3, 512)] * 2],
    "C": [[(3, 64)] * 2, [(3, 128)] * 2, [(3, 256)] * 2 + [(1, 256)],
                                         [(3, 512)] * 2 + [(1, 512)], [(3, 512)] * 2 + [(1, 512)]],
    "D": [[(3, 64)] * 2, [(3, 128)] * 2, [(3, 256)] * 3, [(3, 512)] * 3, [(3, 512)] * 3],
    "E": [[(3, 64)] * 2, [(3, 128)] * 2, [(3, 256)] * 4, [(3, 512)] * 4, [(3, 512)] * 4],
}
# fmt: on


class VGG(nn.Module):
    """One column of Table 1: "D" is VGG-16, with 138,357,544 parameters, "E" is VGG-19.

    Input (N, 3, input_size, input_size), float; output logits (N, num_classes), no softmax. 224
    pixels are the paper's input, 32 are CIFAR-10's; fc6 alone differs. `batch_norm=True` puts a
    batch norm after each convolution.
    Departures from the paper: it starts with PyTorch's weights, not with `initialise`; the paper
    has no batch norm (2015). Departures from the article: none; its two networks are
    `VGG("D", num_classes=10, input_size=32)` and `VGG("D")`.
    Raises ValueError for a column that Table 1 has not, an input_size that is not a multiple of 32,
    num_classes below 1, and images of another shape.
    """

    # fmt: off
    def __init__(
        self, column: str = "D", num_classes: int = 1000, input_size: int = 224,
        batch_norm: bool = False,
    ):
        super().__init__()
        if column not in TABLE_1:
            raise ValueError(f"column must be one of {', '.join(TABLE_1)}; got {column!r}")
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1; got {num_classes}")
        if input_size < 32 or input_size % 32:
            raise ValueError(f"input_size must be 32, 64, 96, ... pixels; got {input_size}")
        self.column, self.input_size = column, input_size
        self.features = _features(TABLE_1[column], batch_norm)
        self.classifier = nn.Sequential(OrderedDict(
            flatten=nn.Flatten(),
            fc6=nn.Linear(512 * (input_size // 32) ** 2, 4096), relu6=nn.ReLU(),
            drop6=nn.Dropout(0.5),
            fc7=nn.Linear(4096, 4096), relu7=nn.ReLU(), drop7=nn.Dropout(0.5),
            fc8=nn.Linear(4096, num_classes),
        ))
    # fmt: on

    def forward(self, images: Tensor) -> Tensor:
        size, side = self.input_size, self.input_size // 32
        if images.shape[1:] != (3, size, size):
            fits = images.shape[1:2] == (3,)
            layer = (
                f"fc6 expects 512 maps of {side}×{side}" if fits else "conv1_1 expects 3 channels"
            )
            got = tuple(images.shape)
            raise ValueError(f"images must be (N, 3, {size}, {size}): {layer}; got {got}")
        return self.classifier(self.features(images))


def _features(blocks: list[list], batch_norm: bool) -> nn.Sequential:
    """The convolutional part of one column, with the layers named conv<block>_<layer>."""
    features, in_channels = nn.Sequential(), 3
    for b, block in enumerate(blocks, start=1):
        for k, layer in enumerate(block, start=1):
            if layer == "LRN":
                # AlexNet's settings; torch divides alpha by the 5 maps it sums.
                features.lrn = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)
                continue
            kernel_size, channels = layer
            conv = nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2)
            features.add_module(f"conv{b}_{k}", conv)
            if batch_norm:
                features.add_module(f"bn{b}_{k}", nn.BatchNorm2d(channels))
            features.add_module(f"relu{b}_{k}", nn.ReLU())
            in_channels = channels
        features.add_module(f"pool{b}", nn.MaxPool2d(2))
    return features


def initialise(model: nn.Module, variance: float = 1e-2) -> None:
    """The paper's start (section 3.1): weights from a normal of variance 0.01, biases 0.

    Taken by its word the logits of column D explode; read as a standard deviation of 0.01
    (`variance=1e-4`) they vanish. The paper trains A first and copies layers of it into the others.
    """
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(module.weight, std=sqrt(variance))
            nn.init.zeros_(module.bias)


def initialise_glorot(model: nn.Module) -> None:
    """What the paper found afterwards (section 3.1): Glorot and Bengio's uniform start (2010)."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)


def initialise_he(model: nn.Module) -> None:
    """He's start for ReLUs (2015, arXiv:1502.01852): N(0, 2 / fan-in), biases 0."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)


def from_torchvision(state_dict: dict[str, Tensor], model: VGG) -> dict[str, Tensor]:
    """The weights of torchvision's vgg11 (A), 13 (B), 16 (D), 19 (E), with or without _bn, renamed.

    Use: `model.load_state_dict(from_torchvision(weights, model))`. Both list the same layers in the
    same order. Raises ValueError where a shape differs, and for A-LRN, which torchvision has not.
    """
    if model.column == "A-LRN":
        raise ValueError("model must have a column that torchvision has, A, B, D or E; got A-LRN")
    ours = model.state_dict()
    for (name, mine), (key, theirs) in zip(ours.items(), state_dict.items()):
        if mine.shape != theirs.shape:
            expects, got = tuple(mine.shape), tuple(theirs.shape)
            raise ValueError(f"state_dict must fit: {name} expects {expects}; {key} has {got}")
    if len(ours) != len(state_dict):
        raise ValueError(f"state_dict must have {len(ours)} tensors; got {len(state_dict)}")
    return dict(zip(ours, state_dict.values()))
