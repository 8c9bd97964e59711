"""AlexNet (Krizhevsky, Sutskever, Hinton 2012, NeurIPS 25): Figure 2; the paper has no table."""

from collections import OrderedDict

from torch import Tensor, nn

from cnn_lessons.models import starts


class OneSize(nn.Module):
    """What the three networks below share: one size of image, features, then the classifier."""

    input_size, fc6_reads = 224, "256 maps of 6×6"
    features: nn.Sequential
    classifier: nn.Sequential

    def forward(self, images: Tensor) -> Tensor:
        expected = (3, self.input_size, self.input_size)
        if images.shape[1:] != expected:
            fits, got = images.shape[1:2] == (3,), tuple(images.shape)
            layer = f"fc6 expects {self.fc6_reads}" if fits else "conv1 expects 3 channels"
            raise ValueError(f"images must be (N, {str(expected)[1:]}: {layer}; got {got}")
        return self.classifier(self.features(images))


# fmt: off
class AlexNet(OneSize):
    """AlexNet as Figure 2 draws it: two groups stand for the two GPUs; 60,965,224 parameters.

    Input (N, 3, 224, 224), float; output logits (N, num_classes), no softmax. `groups=1` joins the
    two halves: conv2, conv4 and conv5 then read all maps of the layer before. The network starts
    with the paper's weights, `starts.alexnet`.
    Departures from the paper: conv1 pads by 2, since 224 pixels do not give the 55 of Figure 2
    without; torch divides LRN's alpha by the 5 maps it sums, so 5e-4 here is the paper's 1e-4.
    Departures from the article: it has half the maps, no LRN and one group, see `AlexNetHalf`.
    Raises ValueError for num_classes below 1, another groups, and images of another shape.
    """

    def __init__(self, num_classes: int = 1000, groups: int = 2):
        super().__init__()
        if groups not in (1, 2):
            raise ValueError(f"groups must be 1 or 2; got {groups!r}")
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
        self.classifier = _classifier(256 * 6 * 6, 4096, num_classes)
        starts.alexnet(self)


class AlexNetHalf(OneSize):
    """The article's network for 224 pixels: one GPU's half of Figure 2; 16,630,440 parameters.

    Input (N, 3, 224, 224), float; output logits (N, num_classes), no softmax. It starts
    as PyTorch does; the article's optional start is `starts.article`.
    Departures from the paper: half the maps and units, no LRN, no second group to read from.
    Departures from the article: dropout after fc6 and fc7, the paper's place, not before them.
    Raises ValueError for num_classes below 1, and for images of another shape.
    """
    fc6_reads = "128 maps of 6×6"

    def __init__(self, num_classes: int = 1000):
        super().__init__()
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
        self.classifier = _classifier(128 * 6 * 6, 2048, num_classes)


class AlexNetCIFAR(OneSize):
    """The article's network for 32 pixels, an AlexNet in outline; 9,244,970 parameters.

    Input (N, 3, 32, 32), float; output logits (N, num_classes), no softmax.
    Departures from the paper: half the maps and units, 3x3 kernels, 2x2 pools that do not overlap,
    batch norm (of 2015) where it has LRN, and pools before the ReLUs of conv1 and conv2.
    Departures from the article: none.
    Raises ValueError for num_classes below 1, and for images of another shape.
    """
    input_size, fc6_reads = 32, "128 maps of 4×4"

    def __init__(self, num_classes: int = 10):
        super().__init__()
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
        self.classifier = _classifier(128 * 4 * 4, 2048, num_classes)


class AlexNetSmall(OneSize):
    """The plan of Figure 2 for 32 pixels: two groups, large first kernels; 710,874 parameters.

    Input (N, 3, 32, 32), float; output logits (N, num_classes), no softmax.
    Departures from the paper: a quarter of the maps, an eighth of the units of fc6 and fc7, kernels
    of 7x7 at stride 1 in conv1, and batch norm (of 2015) where it has LRN.
    Departures from the article: it has no such network.
    Raises ValueError for num_classes below 1, and for images of another shape.
    """
    input_size, fc6_reads = 32, "64 maps of 3×3"

    def __init__(self, num_classes: int = 10):
        super().__init__()
        self.features = nn.Sequential(OrderedDict(
            conv1=nn.Conv2d(3, 24, kernel_size=7, padding=3), relu1=nn.ReLU(),
            norm1=nn.BatchNorm2d(24), pool1=nn.MaxPool2d(3, stride=2),
            conv2=nn.Conv2d(24, 64, kernel_size=5, padding=2, groups=2), relu2=nn.ReLU(),
            norm2=nn.BatchNorm2d(64), pool2=nn.MaxPool2d(3, stride=2),
            conv3=nn.Conv2d(64, 96, kernel_size=3, padding=1), relu3=nn.ReLU(),
            conv4=nn.Conv2d(96, 96, kernel_size=3, padding=1, groups=2), relu4=nn.ReLU(),
            conv5=nn.Conv2d(96, 64, kernel_size=3, padding=1, groups=2), relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(3, stride=2),
        ))
        self.classifier = _classifier(64 * 3 * 3, 512, num_classes)


def _classifier(in_features: int, hidden: int, num_classes: int) -> nn.Sequential:
    if type(num_classes) is not int or num_classes < 1:
        raise ValueError(f"num_classes must be at least 1; got {num_classes!r}")
    return nn.Sequential(OrderedDict(
        flatten=nn.Flatten(),
        fc6=nn.Linear(in_features, hidden), relu6=nn.ReLU(), drop6=nn.Dropout(0.5),
        fc7=nn.Linear(hidden, hidden), relu7=nn.ReLU(), drop7=nn.Dropout(0.5),
        fc8=nn.Linear(hidden, num_classes),
    ))
# fmt: on
