"""The article's own code beside ours: the same weights, the same outputs, the shapes it states.

The article is not part of the repository: it is looked for beside it, in ../shared/article.txt.
"""

import re
import warnings
from functools import partial
from math import prod
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnn_lessons.models import (
    VGG,
    AlexNetCIFAR,
    AlexNetHalf,
    ArticleResNet,
    GoogLeNet,
    GoogLeNetCIFAR,
    LeNet5,
    starts,
)
from cnn_lessons.models.googlenet import ARTICLE_TABLE
from cnn_lessons.shapes import record

from .networks import LARGE, SMALL, empty, images, randomise

ARTICLE = Path(__file__).resolve().parents[2] / "shared" / "article.txt"

needs_article = pytest.mark.skipif(
    not ARTICLE.exists(), reason="the article is not beside the repository: ../shared/article.txt"
)

# The article's class and its arguments, the line that distinguishes its code, ours, the input.
NETWORKS = {
    "lenet5": ("LeNet5", (), "class LeNet5(", LeNet5, SMALL),
    "alexnet_cifar": ("AlexNet", (), "# 五层卷积层", AlexNetCIFAR, SMALL),
    "alexnet_half": ("AlexNet", (), "init_weights=False):   ", AlexNetHalf, LARGE),
    "vgg_d_32": ("VGG16", (), "class VGG16(", partial(VGG, "D", 10, 32), SMALL),
    "vgg_d": ("SE_VGG", (1000,), "class SE_VGG(", VGG, LARGE),
    "googlenet_article": (
        "GoogLeNet", (), "class Conv_ReLU(", partial(GoogLeNetCIFAR, table=ARTICLE_TABLE), SMALL),
    "googlenet": ("GoogLeNet", (), "class InceptionAux(", GoogLeNet, LARGE),
    "resnet_article": ("ResNet", (), "class ResBlock(", ArticleResNet, SMALL),
}  # fmt: skip


def article_code(marker: str) -> str:
    """The code block that contains `marker`, without the lines after the classes that try it."""
    blocks = re.split(r"\n\s*\n", ARTICLE.read_text(encoding="utf-8"))
    (block,) = [block for block in blocks if marker in block]
    return block.split("\nnet = ")[0]


def article_network(name: str) -> nn.Module:
    """The article's network, built from its own text with random weights, without dropout."""
    class_name, arguments, marker, _, _ = NETWORKS[name]
    # The article drops through F.dropout in the auxiliary heads.
    functions = SimpleNamespace(relu=F.relu, dropout=lambda x, p, training: x)
    namespace = {"torch": torch, "nn": nn, "F": functions}
    exec(article_code(marker), namespace)
    return without_dropout(randomise(empty(partial(namespace[class_name], *arguments))))


def without_dropout(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, (nn.Dropout, nn.Dropout2d)):
            module.p = 0.0
    return model


def with_weights_of(theirs: nn.Module, name: str) -> nn.Module:
    """Our network with the article's weights: the layers come in the same order."""
    ours = empty(NETWORKS[name][3])
    tensors = list(theirs.state_dict().values())
    names = list(ours.state_dict())
    assert len(tensors) == len(names)
    for own, tensor in zip(names, tensors):
        assert ours.state_dict()[own].shape == tensor.shape, own
    ours.load_state_dict(dict(zip(names, tensors)))
    return without_dropout(ours.eval())


@needs_article
@pytest.mark.parametrize("name", NETWORKS)
def test_same_weights_same_outputs(name):
    theirs = article_network(name)
    ours = with_weights_of(theirs, name)
    pictures = images(NETWORKS[name][4], batch=2)
    with torch.inference_mode(), warnings.catch_warnings():
        # The small GoogLeNet calls Dropout2d on vectors.
        warnings.filterwarnings("ignore", "dropout2d: Received a 2-D input")
        expected = theirs(pictures)
    with torch.inference_mode():
        actual = ours(pictures)
    # Else the outputs could agree without any layer but the last having been compared.
    assert (expected[0] - expected[1]).abs().max() > 0.01 * expected.abs().max()
    torch.testing.assert_close(actual, expected)


@needs_article
@pytest.mark.parametrize("name", ["alexnet_cifar", "resnet_article"])
def test_same_outputs_with_the_statistics_of_the_batch(name):
    theirs = article_network(name)
    ours = with_weights_of(theirs, name).train()
    pictures = images(NETWORKS[name][4], batch=4)
    torch.testing.assert_close(ours(pictures), theirs.train()(pictures))


@needs_article
def test_auxiliary_logits_are_the_articles_while_training():
    theirs = article_network("googlenet").train()
    ours = with_weights_of(theirs, "googlenet").train()
    pictures = images(LARGE, batch=2)
    with torch.inference_mode():
        logits, aux2, aux1 = theirs(pictures)
        actual = ours.forward_with_aux(pictures)
        torch.testing.assert_close(ours(pictures), logits)
    torch.testing.assert_close(actual.logits, logits)
    torch.testing.assert_close(actual.aux1, aux1)
    torch.testing.assert_close(actual.aux2, aux2)
    assert not torch.allclose(aux1, aux2)


@needs_article
@pytest.mark.parametrize("name", ["alexnet_half", "googlenet"])
def test_the_articles_start_draws_as_the_article_does(name):
    class_name, _, marker, build, _ = NETWORKS[name]
    namespace = {"torch": torch, "nn": nn, "F": F}
    exec(article_code(marker), namespace)
    theirs = namespace[class_name](init_weights=True).state_dict()
    ours = starts.article(build()).state_dict()
    for (key, tensor), expected in zip(ours.items(), theirs.values()):
        if tensor.dim() == 1:
            assert tensor.abs().max() == expected.abs().max() == 0, key
        else:
            torch.testing.assert_close(tensor.std(), expected.std(), rtol=0.1, atol=0)


# Every shape that the article writes into a comment, but for the batch: its line, our layer, and
# what it reads (<) or gives (>).
# fmt: off
SHAPES = {
    "lenet5": """
        28 features.c1 < 3 32 32       29 features.c1 > 6 28 28      30 features.s2 > 6 14 14
        31 features.c3 > 16 10 10      32 features.s4 > 16 5 5       34 features.s4 > 16 5 5
        37 classifier.c5 < 400         40 classifier.f6 < 120        43 classifier.output < 84
        46 classifier.output > 10      48 features.s4 > 16 5 5       49 classifier.flatten > 400
        51 classifier.output > 10""",
    "alexnet_cifar": """
        87 features.conv1 < 3 32 32    89 features.conv1 > 48 32 32  90 features.pool1 > 48 16 16
        94 features.conv2 > 128 16 16  95 features.pool2 > 128 8 8   99 features.conv3 > 192 8 8
        102 features.conv4 > 192 8 8   105 features.conv5 > 128 8 8  107 features.pool5 > 128 4 4
        109 features.pool5 > 128 4 4   112 classifier.fc6 < 2048     125 features.pool5 > 128 4 4
        126 classifier.flatten > 2048  128 classifier.fc8 > 10""",
    "alexnet_half": """
        140 features.conv1 < 3 224 224 140 features.conv1 > 48 55 55 142 features.pool1 > 48 27 27
        143 features.conv2 > 128 27 27 145 features.pool2 > 128 13 13
        146 features.conv3 > 192 13 13 148 features.conv4 > 192 13 13
        150 features.conv5 > 128 13 13 152 features.pool5 > 128 6 6""",
    "vgg_d_32": """
        200 features.conv1_1 > 64 32 32   202 features.conv1_2 > 64 32 32
        204 features.pool1 > 64 16 16     206 features.conv2_1 > 128 16 16
        208 features.conv2_2 > 128 16 16  210 features.pool2 > 128 8 8
        212 features.conv3_1 > 256 8 8    214 features.conv3_2 > 256 8 8
        216 features.conv3_3 > 256 8 8    218 features.pool3 > 256 4 4
        220 features.conv4_1 > 512 4 4    222 features.conv4_2 > 512 4 4
        224 features.conv4_3 > 512 4 4    226 features.pool4 > 512 2 2
        228 features.conv5_1 > 512 2 2    230 features.conv5_2 > 512 2 2
        232 features.conv5_3 > 512 2 2    234 features.pool5 > 512 1 1
        238 classifier.fc6 < 512          251 features.pool5 > 512 1 1
        252 classifier.flatten > 512      253 classifier.fc8 > 10""",
    "googlenet_article": """
        385 features.inception_3a.branch1x1.relu > 64 4 4
        386 features.inception_3a.branch3x3.relu > 128 4 4
        387 features.inception_3a.branch5x5.relu > 32 4 4
        388 features.inception_3a.branch_pool.relu > 32 4 4
        390 features.inception_3a.cat > 256 4 4  399 features.relu1 > 64 16 16
        400 features.pool1 > 64 7 7              403 features.relu2 > 192 7 7
        404 features.pool2 > 192 4 4             406 features.inception_3a.cat > 256 4 4
        408 features.inception_3b.cat > 480 4 4  409 features.pool3 > 480 2 2
        411 features.inception_4a.cat > 512 2 2  413 features.inception_4b.cat > 512 2 2
        415 features.inception_4c.cat > 512 2 2  417 features.inception_4d.cat > 528 2 2
        419 features.inception_4e.cat > 832 2 2  420 features.pool4 > 832 1 1
        422 features.inception_5a.cat > 832 1 1  424 features.inception_5b.cat > 1024 1 1
        426 classifier.pool > 1024 1 1           431 classifier.fc > 10
        434 classifier.pool > 1024 1 1           435 classifier.flatten > 1024
        436 classifier.fc > 10""",
    "googlenet": """
        484 features.conv1 < 3 224 224             486 features.relu1 > 64 112 112
        488 features.pool1 > 64 56 56              490 features.relu2_reduce > 64 56 56
        492 features.relu2 > 192 56 56             494 features.pool2 > 192 28 28
        496 features.inception_3a.cat > 256 28 28  498 features.inception_3b.cat > 480 28 28
        500 features.pool3 > 480 14 14             502 features.inception_4a.cat > 512 14 14
        506 features.inception_4b.cat > 512 14 14  508 features.inception_4c.cat > 512 14 14
        510 features.inception_4d.cat > 528 14 14  514 features.inception_4e.cat > 832 14 14
        516 features.pool4 > 832 7 7               518 features.inception_5a.cat > 832 7 7
        520 features.inception_5b.cat > 1024 7 7   522 classifier.pool > 1024 1 1
        524 classifier.flatten > 1024              527 classifier.fc > 1000
        570 aux1.conv > 128 4 4                    574 aux1.pool < 512 14 14
        574 aux2.pool < 528 14 14                  576 aux1.pool > 512 4 4
        576 aux2.pool > 528 4 4                    578 aux1.relu > 128 4 4
        581 aux1.flatten > 2048                    584 aux1.drop > 1024
        586 aux1.fc2 > 1000""",
    "resnet_article": """
        638 block1.bn1 > 64 8 8     641 block1.bn2 > 128 8 8    646 block1.shortcut.bn > 128 8 8
        654 block1.relu2 > 128 8 8  662 bn1 > 64 16 16          663 block1.relu2 > 128 8 8
        664 block2.relu2 > 256 4 4  665 block3.relu2 > 512 2 2  666 block4.relu2 > 512 1 1
        671 pool > 512 1 1          672 flatten > 512           673 fc > 10""",
}
# fmt: on


def stated(name: str) -> list[tuple[int, str, str, tuple[int, ...]]]:
    """The lines of SHAPES as (line of the article, layer, < or >, shape without batch)."""
    found = re.findall(r"(\d+) ([a-z]\S*) ([<>]) ([\d ]+?)(?=\s{2}|\n|$|\s\d+ [a-z])", SHAPES[name])
    return [(int(n), layer, side, tuple(map(int, s.split()))) for n, layer, side, s in found]


@pytest.mark.parametrize("name", SHAPES)
def test_shape_comments_hold_in_a_recorded_pass(name):
    with torch.device("meta"):
        model = NETWORKS[name][3]()
    if name == "googlenet":
        model.forward = model.forward_with_aux
    steps = record(model, NETWORKS[name][4])
    assert len(stated(name)) == len(re.findall("[<>]", SHAPES[name]))
    for line, layer, side, shape in stated(name):
        row = steps[layer]
        actual = row.output if side == ">" else row.inputs[0]
        assert actual[1:] == shape, f"line {line} of the article, {layer}"


def shapes_in(comment: str) -> list[tuple[int, ...]]:
    """[batch_size, 6, 28, 28], output[48, 55, 55] or N x 64 x 56 x 56, without the batch."""
    shapes = []
    for brackets, crosses in re.findall(r"\[([^]]+)\]|N((?: x \w+)+)", comment):
        sizes = (brackets or crosses).replace("num_classes", "1000").split("," if brackets else "x")
        sizes = [size.strip() for size in sizes if size.strip()]
        if sizes[0] in ("batch_size", "batch", "10"):
            sizes = sizes[1:]
        shapes.append(tuple(prod(map(int, size.split("*"))) for size in sizes))
    return shapes


@needs_article
def test_no_shape_comment_of_the_article_is_missing():
    lines = enumerate(ARTICLE.read_text(encoding="utf-8").split("\n"), start=1)
    comments = {number: line.partition("#")[2] for number, line in lines}
    in_article = {
        (number, shape)
        for number, comment in comments.items()
        if re.search(r"torch\.Size\(|output\[|N x ", comment)
        for shape in shapes_in(comment)
    }
    ours = {(line, shape) for name in SHAPES for line, _, _, shape in stated(name)}
    assert in_article == ours
    assert len(in_article) > 100
