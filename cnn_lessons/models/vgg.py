"""VGG (Simonyan, Zisserman 2014, arXiv:1409.1556): Table 1, columns A to E."""

from collections import OrderedDict

from torch import Tensor, nn

# One list a block, with a 2x2 max-pool after each; (3, 256) is the paper's "conv3-256".
# fmt: off
TABLE_1: dict[str, list[list]] = {
    "A": [[(3, 64)],     [(3, 128)],     [(3, 256)] * 2, [(3, 512)] * 2, [(3, 512)] * 2],
    "A-LRN": [[(3, 64), "LRN"],
                         [(3, 128)],     [(3, 256)] * 2, [(3, 512)] * 2, [(3, 512)] * 2],
    "B": [[(3, 64)] * 2, [(3, 128)] * 2, [(3, 256)] * 2, [(3, 512)] * 2, [(3, 512)] * 2],
    "C": [[(3, 64)] * 2, [(3, 128)] * 2, [(3, 256)] * 2 + [(1, 256)],
                                         [(3, 512)] * 2 + [(1, 512)], [(3, 512)] * 2 + [(1, 512)]],
    "D": [[(3, 64)] * 2, [(3, 128)] * 2, [(3, 256)] * 3, [(3, 512)] * 3, [(3, 512)] * 3],
    "E": [[(3, 64)] * 2, [(3, 128)] * 2, [(3, 256)] * 4, [(3, 512)] * 4, [(3, 512)] * 4],
}


class VGG(nn.Module):
    """One column of Table 1: "D" is VGG-16, with 138,357,544 parameters, "E" is VGG-19.

    `column` may also be a text of five blocks, as `convolutions` reads it, for other widths.
    Input (N, 3, input_size, input_size), float; output logits (N, num_classes), no softmax. 224
    pixels are the paper's input, 32 are CIFAR-10's; fc6 alone differs. `batch_norm=True` puts a
    batch norm after each convolution; fc6 and fc7 have `hidden` units, the paper's are 4096. It
    starts as PyTorch does; see `starts.vgg`.
    Departures from the paper: batch norm, of 2015, and that start. From the article: none; its two
    networks are `VGG("D", num_classes=10, input_size=32)` and `VGG("D")`.
    Raises ValueError for a column that Table 1 has not, an input_size that is not a multiple of 32,
    num_classes or hidden below 1, and images of another shape.
    """

    def __init__(self, column: str = "D", num_classes: int = 1000, input_size: int = 224,
                 batch_norm: bool = False, hidden: int = 4096):
        super().__init__()
        text = isinstance(column, str) and column.count("M") == 5
        if not text and column not in list(TABLE_1):
            raise ValueError(f"column must be one of {', '.join(TABLE_1)}; got {column!r}")
        for name, value in {"num_classes": num_classes, "hidden": hidden}.items():
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} must be at least 1; got {value!r}")
        if type(input_size) is not int or input_size < 32 or input_size % 32:
            raise ValueError(f"input_size must be 32, 64, 96, ... pixels; got {input_size!r}")
        self.column, self.input_size, side = column, input_size, input_size // 32
        blocks = read_column(column) if text else TABLE_1[column]
        self.maps = blocks[-1][-1][1]  # how many leave the convolutions
        self.features = _features(blocks, batch_norm)
        self.classifier = nn.Sequential(OrderedDict(
            flatten=nn.Flatten(),
            fc6=nn.Linear(self.maps * side * side, hidden), relu6=nn.ReLU(), drop6=nn.Dropout(0.5),
            fc7=nn.Linear(hidden, hidden), relu7=nn.ReLU(), drop7=nn.Dropout(0.5),
            fc8=nn.Linear(hidden, num_classes),
        ))
    # fmt: on

    def forward(self, images: Tensor) -> Tensor:
        size, side = self.input_size, self.input_size // 32
        if images.shape[1:] != (3, size, size):
            layer, got = f"fc6 expects {self.maps} maps of {side}×{side}", tuple(images.shape)
            if images.shape[1:2] != (3,):
                layer = "conv1_1 expects 3 channels"
            raise ValueError(f"images must be (N, 3, {size}, {size}): {layer}; got {got}")
        return self.classifier(self.features(images))


def read_column(text: str) -> list[list]:
    """The blocks of a text such as "64 M 128 128 M": maps of 3x3 convolutions, M for a max-pool.

    Raises ValueError for a word that is neither M nor a number above 0, and for a block that is
    empty or has no M behind it.
    """
    for word in text.split():
        if word != "M" and not (word.isdecimal() and int(word)):
            raise ValueError(f"column must be numbers of maps and M; got {word!r} in {text!r}")
    *blocks, rest = ([(3, int(word)) for word in part.split()] for part in text.split("M"))
    if rest or not blocks or not all(blocks):
        raise ValueError(f"each M of column must end a block with a convolution; got {text!r}")
    return blocks


def convolutions(column: str, batch_norm: bool = False) -> nn.Sequential:
    """The convolutional part of a text as `read_column` takes it; for the course's lesson 03."""
    return _features(read_column(column), batch_norm)


def _features(blocks: list[list], batch_norm: bool) -> nn.Sequential:
    """The convolutional part of one column, its layers named conv<block>_<layer>."""
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
