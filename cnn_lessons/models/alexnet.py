"""AlexNet (Krizhevsky, Sutskever, Hinton 2012, NeurIPS 25): Figure 2 and section 3.5.

`AlexNet` is the paper's network, `AlexNetHalf` and `AlexNetCIFAR` are the article's two. The paper
has no table of its layers, it draws each by itself: so each network here lists them in its order.
"""

from collections import OrderedDict

from torch import Tensor, nn


class AlexNet(nn.Module):
    """AlexNet as Figure 2 draws it: two groups stand for the two GPUs; 60,965,224 parameters.

    Input (N, 3, 224, 224), float; output logits (N, num_classes), no softmax. `groups=1` joins the
    two halves: conv2, conv4 and conv5 then read all maps of the layer before. The network starts
    with the paper's weights, see `initialise`.
    Departures from the paper: conv1 pads by 2, since 224 pixels do not give the 55 of Figure 2
    without; torch divides LRN's alpha by the 5 maps it sums, so 5e-4 here is the paper's 1e-4.
    Departures from the article: it has half the maps, no LRN and one group, see `AlexNetHalf`.
    Raises ValueError for num_classes below 1, another groups, and images of another shape.
    """

    def __init__(self, num_classes: int = 1000, groups: int = 2):
        super().__init__()
        if groups not in (1, 2):
            raise ValueError(f"groups must be 1 or 2; got {groups!r}")
        # fmt: off
        self.features = nn.Sequential(OrderedDict(
            conv1=nn.Conv2d(3, 96, kernel_size=11, stride=4, padding=2), relu1=nn.ReLU(),
            norm1=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2),
            pool1=nn.MaxPool2d(3, stride=2),
            conv2=nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=groups), relu2=nn.ReLU(),
            norm2=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2),
            pool2=nn.MaxPool2d(3, stride=2),
            conv3=nn.Conv2d(256, 384, kernel_size=3, padding=1), relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=groups), relu4=nn.ReLU(),
            conv5=nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=groups), relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(3, stride=2),
        ))
        # fmt: on
        self.classifier = _classifier(256 * 6 * 6, 4096, num_classes)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        _check_images(images, 224, "fc6 expects 256 maps of 6×6")
        return self.classifier(self.features(images))


class AlexNetHalf(nn.Module):
    """The article's network for 224 pixels: one GPU's half of Figure 2; 16,630,440 parameters.

    Input (N, 3, 224, 224), float; output logits (N, num_classes), no softmax. `init_weights=True`
    starts it as the article does, see `initialise_article`; otherwise it starts as PyTorch does.
    Departures from the paper: half the maps and units, no LRN, no second group to read from.
    Departures from the article: dropout after fc6 and fc7, the paper's place, not before them.
    Raises ValueError for num_classes below 1, and for images of another shape.
    """

    def __init__(self, num_classes: int = 1000, init_weights: bool = False):
        super().__init__()
        # fmt: off
        self.features = nn.Sequential(OrderedDict(
            conv1=nn.Conv2d(3, 48, kernel_size=11, stride=4, padding=2), relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(3, stride=2),
            conv2=nn.Conv2d(48, 128, kernel_size=5, padding=2), relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(3, stride=2),
            conv3=nn.Conv2d(128, 192, kernel_size=3, padding=1), relu3=nn.ReLU(),
            conv4=nn.Conv2d(192, 192, kernel_size=3, padding=1), relu4=nn.ReLU(),
            conv5=nn.Conv2d(192, 128, kernel_size=3, padding=1), relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(3, stride=2),
        ))
        # fmt: on
        self.classifier = _classifier(128 * 6 * 6, 2048, num_classes)
        if init_weights:
            initialise_article(self)

    def forward(self, images: Tensor) -> Tensor:
        _check_images(images, 224, "fc6 expects 128 maps of 6×6")
        return self.classifier(self.features(images))


class AlexNetCIFAR(nn.Module):
    """The article's network for 32 pixels, an AlexNet in outline; 9,244,970 parameters.

    Input (N, 3, 32, 32), float; output logits (N, num_classes), no softmax.
    Departures from the paper: half the maps and units, 3x3 kernels, 2x2 pools that do not overlap,
    batch norm (of 2015) where it has LRN, and pools before the ReLUs of conv1 and conv2.
    Departures from the article: none.
    Raises ValueError for num_classes below 1, and for images of another shape.
    """

    def __init__(self, num_classes: int = 10):
        super().__init__()
        # fmt: off
        self.features = nn.Sequential(OrderedDict(
            conv1=nn.Conv2d(3, 48, kernel_size=3, padding=1),
            pool1=nn.MaxPool2d(2), relu1=nn.ReLU(), norm1=nn.BatchNorm2d(48),
            conv2=nn.Conv2d(48, 128, kernel_size=3, padding=1),
            pool2=nn.MaxPool2d(2), relu2=nn.ReLU(), norm2=nn.BatchNorm2d(128),
            conv3=nn.Conv2d(128, 192, kernel_size=3, padding=1), relu3=nn.ReLU(),
            conv4=nn.Conv2d(192, 192, kernel_size=3, padding=1), relu4=nn.ReLU(),
            conv5=nn.Conv2d(192, 128, kernel_size=3, padding=1), relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(2),
        ))
        # fmt: on
        self.classifier = _classifier(128 * 4 * 4, 2048, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        _check_images(images, 32, "fc6 expects 128 maps of 4×4")
        return self.classifier(self.features(images))


def _classifier(in_features: int, hidden: int, num_classes: int) -> nn.Sequential:
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1; got {num_classes}")
    # fmt: off
    return nn.Sequential(OrderedDict(
        flatten=nn.Flatten(),
        fc6=nn.Linear(in_features, hidden), relu6=nn.ReLU(), drop6=nn.Dropout(0.5),
        fc7=nn.Linear(hidden, hidden), relu7=nn.ReLU(), drop7=nn.Dropout(0.5),
        fc8=nn.Linear(hidden, num_classes),
    ))
    # fmt: on


def _check_images(images: Tensor, size: int, fc6_expects: str) -> None:
    if images.shape[1:] != (3, size, size):
        layer = fc6_expects if images.shape[1:2] == (3,) else "conv1 expects 3 channels"
        got = tuple(images.shape)
        raise ValueError(f"images must be (N, 3, {size}, {size}): {layer}; got {got}")


def initialise(model: nn.Module) -> None:
    """The paper's start (section 5): weights from N(0, 0.01²), biases 0 or, in five layers, 1.

    The ones let the ReLUs of conv2, conv4, conv5, fc6 and fc7 begin with positive inputs.
    """
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            ones = name.split(".")[-1] in ("conv2", "conv4", "conv5", "fc6", "fc7")
            nn.init.normal_(module.weight, std=0.01)
            nn.init.constant_(module.bias, 1.0 if ones else 0.0)


def initialise_article(model: nn.Module) -> None:
    """The article's start: He's fan-out normal in convolutions, else N(0, 0.01²); biases 0."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def from_torchvision(state_dict: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Always raises ValueError: torchvision's AlexNet has other widths than the three here."""
    raise ValueError(
        "state_dict must fit the model, but torchvision's AlexNet is that of 'One weird trick' "
        "(arXiv:1404.5997): 64, 192, 384, 256, 256 maps in one group; got a model "
        f"{type(model).__name__} with {model.features.conv1.out_channels} maps in conv1"
    )
