"""The networks, one file a paper."""

from .alexnet import AlexNet, AlexNetCIFAR, AlexNetHalf, AlexNetSmall
from .googlenet import GoogLeNet, GoogLeNetBN, GoogLeNetCIFAR, Inception
from .lenet import LeNet5, LeNet5Original
from .resnet import ArticleResNet, BasicBlock, Bottleneck, ResNet, ResNetCIFAR, three_stages
from .vgg import VGG
