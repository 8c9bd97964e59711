"""The networks under test, and the numbers they must have, none of them taken from our code.

The numbers are those of the papers, of torchvision or of the article's own code as it was run.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cnn_lessons.models import (
    VGG,
    AlexNet,
    AlexNetCIFAR,
    AlexNetHalf,
    AlexNetSmall,
    ArticleResNet,
    GoogLeNet,
    GoogLeNetBN,
    GoogLeNetCIFAR,
    LeNet5,
    LeNet5Original,
    ResNet,
    ResNetCIFAR,
)
from cnn_lessons.models.googlenet import ARTICLE_TABLE


class Case(NamedTuple):
    """How to build a network, its input (channels, height, width), and what is known of it.

    `layers` counts the layers with weights, without projections and auxiliary heads. What is
    `trained` is small enough to take steps in the tests, and to be saved and exported.
    """

    build: Callable[[], nn.Module]
    size: tuple[int, int, int]
    parameters: int
    macs: int | None
    layers: int
    trained: bool = False


SMALL, LARGE = (3, 32, 32), (3, 224, 224)
PLAIN = {"shortcut": None}
CIFAR_STEM = {"num_classes": 10, "stem": "3x3"}

# fmt: off
CASES = {
    "lenet5": Case(LeNet5, SMALL, 62_006, 651_720, 5),
    "lenet5_grey": Case(partial(LeNet5, in_channels=1), (1, 32, 32), 61_706, 416_520, 5),
    "lenet5_original": Case(LeNet5Original, (1, 32, 32), 60_000, None, 4),
    "alexnet_cifar": Case(AlexNetCIFAR, SMALL, 9_244_970, 73_437_184, 8),
    "alexnet_small": Case(AlexNetSmall, SMALL, 710_874, 14_591_232, 8, trained=True),
    "alexnet_half": Case(AlexNetHalf, LARGE, 16_630_440, 311_191_824, 8),
    "alexnet_half_10": Case(partial(AlexNetHalf, 10), LARGE, 14_601_930, 309_164_304, 8),
    "alexnet": Case(AlexNet, LARGE, 60_965_224, 724_406_816, 8),
    "alexnet_one_group": Case(partial(AlexNet, groups=1), LARGE, 62_378_344, 1_135_256_096, 8),
    "vgg_a": Case(partial(VGG, "A"), LARGE, 132_863_336, 7_609_090_048, 11),
    "vgg_a_lrn": Case(partial(VGG, "A-LRN"), LARGE, 132_863_336, 7_609_090_048, 11),
    "vgg_b": Case(partial(VGG, "B"), LARGE, 133_047_848, 11_308_466_176, 13),
    "vgg_c": Case(partial(VGG, "C"), LARGE, 133_638_952, 11_770_888_192, 16),
    "vgg_d": Case(partial(VGG, "D"), LARGE, 138_357_544, 15_470_264_320, 16),
    "vgg_d_bn": Case(partial(VGG, "D", batch_norm=True), LARGE, 138_365_992, 15_470_264_320, 16),
    "vgg_e": Case(partial(VGG, "E"), LARGE, 143_667_240, 19_632_062_464, 19),
    "vgg_a_32": Case(partial(VGG, "A", 10, 32), SMALL, 28_144_010, None, 11),
    "vgg_a_lrn_32": Case(partial(VGG, "A-LRN", 10, 32), SMALL, 28_144_010, None, 11),
    "vgg_b_32": Case(partial(VGG, "B", 10, 32), SMALL, 28_328_522, None, 13),
    "vgg_c_32": Case(partial(VGG, "C", 10, 32), SMALL, 28_919_626, None, 16),
    "vgg_d_32": Case(partial(VGG, "D", 10, 32), SMALL, 33_638_218, 332_111_872, 16),
    "vgg_e_32": Case(partial(VGG, "E", 10, 32), SMALL, 38_947_914, None, 19),
    # A convolution with its batch norm: 9·(maps in)·(maps out) + 3·(maps out), added by hand.
    "vgg_d_narrow": Case(
        partial(VGG, "16 16 M 32 32 M 64 64 64 M 128 128 128 M 128 128 128 M", 10, 32, True, 512),
        SMALL, 1_256_730, None, 16),
    "googlenet_cifar": Case(GoogLeNetCIFAR, SMALL, 5_983_802, None, 58),
    "googlenet_article": Case(
        partial(GoogLeNetCIFAR, table=ARTICLE_TABLE), SMALL, 5_940_912, 30_525_568, 58),
    "googlenet_bn": Case(GoogLeNetBN, SMALL, 378_946, 30_315_008, 58, trained=True),
    "googlenet": Case(GoogLeNet, LARGE, 13_378_280, 1_582_671_872, 58),
    "googlenet_no_aux": Case(partial(GoogLeNet, aux=False), LARGE, 6_998_552, 1_582_671_872, 58),
    "resnet_article": Case(ArticleResNet, SMALL, 7_497_418, 30_200_832, 10),
    "resnet_18": Case(partial(ResNet, 18), LARGE, 11_689_512, 1_814_073_344, 18),
    "resnet_34": Case(partial(ResNet, 34), LARGE, 21_797_672, 3_663_761_408, 34),
    "resnet_50": Case(partial(ResNet, 50), LARGE, 25_557_032, 4_089_184_256, 50),
    "resnet_50_paper": Case(
        partial(ResNet, 50, stride_on="1x1"), LARGE, 25_557_032, 3_857_973_248, 50),
    "resnet_101": Case(partial(ResNet, 101), LARGE, 44_549_160, 7_801_405_440, 101),
    "resnet_152": Case(partial(ResNet, 152), LARGE, 60_192_808, 11_513_626_624, 152),
    "resnet_18_32": Case(partial(ResNet, 18, **CIFAR_STEM), SMALL, 11_173_962, 555_422_720, 18),
    "resnet_34_32": Case(partial(ResNet, 34, **CIFAR_STEM), SMALL, 21_282_122, None, 34),
    "resnet_50_32": Case(partial(ResNet, 50, **CIFAR_STEM), SMALL, 23_520_842, None, 50),
    "resnet_101_32": Case(partial(ResNet, 101, **CIFAR_STEM), SMALL, 42_512_970, None, 101),
    "resnet_152_32": Case(partial(ResNet, 152, **CIFAR_STEM), SMALL, 58_156_618, None, 152),
    "resnet_cifar_20": Case(partial(ResNetCIFAR, 20), SMALL, 269_722, 40_551_040, 20),
    "resnet_cifar_32": Case(partial(ResNetCIFAR, 32), SMALL, 464_154, 68_862_592, 32),
    "resnet_cifar_44": Case(partial(ResNetCIFAR, 44), SMALL, 658_586, 97_174_144, 44),
    "resnet_cifar_56": Case(partial(ResNetCIFAR, 56), SMALL, 853_018, 125_485_696, 56),
    "resnet_cifar_110": Case(partial(ResNetCIFAR, 110), SMALL, 1_727_962, 252_887_680, 110),
    "resnet_cifar_20_b": Case(
        partial(ResNetCIFAR, 20, shortcut="B"), SMALL, 272_474, 40_813_184, 20),
    "resnet_cifar_20_plain": Case(
        partial(ResNetCIFAR, 20, **PLAIN), SMALL, 269_722, 40_551_040, 20),
}
# fmt: on


def build_on_meta(name: str) -> nn.Module:
    """The network without memory for its weights: shapes and counts alone."""
    with torch.device("meta"):
        return CASES[name].build()


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights with which every layer shows in the output: He's for the weights, the rest random.

    With PyTorch's own start a deep network without batch norm gives the same logits for each image,
    and two different networks would look equal.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.dim() > 1:
                bound = (6 / tensor[0].numel()) ** 0.5
                tensor.uniform_(-bound, bound, generator=generator)
            elif name.endswith("num_batches_tracked"):
                continue
            elif name.endswith("bias") or name.endswith("running_mean"):
                tensor.uniform_(-0.1, 0.1, generator=generator)
            else:
                tensor.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def empty(build: Callable[[], nn.Module]) -> nn.Module:
    """The network with memory, but without the time that drawing its first weights takes."""
    with torch.device("meta"):
        model = build()
    return model.to_empty(device="cpu")


def images(size: tuple[int, int, int], batch: int = 1, seed: int = 1) -> Tensor:
    return torch.randn(batch, *size, generator=torch.Generator().manual_seed(seed))
