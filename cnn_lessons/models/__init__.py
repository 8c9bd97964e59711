"""The networks, one file a paper."""

from .alexnet import AlexNet, AlexNetCIFAR, AlexNetHalf
from .googlenet import GoogLeNet, GoogLeNetCIFAR, Inception
from .lenet import LeNet5, LeNet5Original
from .resnet import ArticleResNet, BasicBlock, Bottleneck, ResNet, ResNetCIFAR
from .vgg import VGG

# fmt: off
__all__ = [
    "VGG", "AlexNet", "AlexNetCIFAR", "AlexNetHalf", "ArticleResNet", "BasicBlock", "Bottleneck",
    "GoogLeNet", "GoogLeNetCIFAR", "Inception", "LeNet5", "LeNet5Original", "ResNet", "ResNetCIFAR",
]
