"""LeNet-5 in both forms, against the paper's own numbers."""

from math import prod

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from cnn_lessons.models import VGG, LeNet5, LeNet5Original
from cnn_lessons.models.lenet import TABLE_1
from cnn_lessons.shapes import on_meta, record


def test_parameters_and_macs_of_the_article_s_network():
    assert sum(p.numel() for p in LeNet5().parameters()) == 62_006
    assert sum(p.numel() for p in LeNet5(in_channels=1).parameters()) == 61_706
    for channels, macs in ((3, 651_720), (1, 416_520)):
        with FlopCounterMode(display=False) as counter:
            LeNet5(in_channels=channels)(torch.zeros(1, channels, 32, 32))
        assert counter.get_total_flops() == 2 * macs


def test_parameters_of_the_original_layer_by_layer():
    table = record(LeNet5Original(), (1, 32, 32))
    assert table.parameters == 60_000
    published = {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert {name: table[name].parameters for name in published} == published
    assert LeNet5Original().output.centres.shape == (10, 84)


def test_connections_of_the_original_layer_by_layer():
    table = record(LeNet5Original(), (1, 32, 32))
    published = {"c1": 122_304, "c3": 151_600, "c5": 48_120, "f6": 10_164}
    for name, connections in published.items():
        assert table[name].parameters * prod(table[name].output[2:]) == connections
    for name, connections in (("s2", 5_880), ("s4", 2_000)):
        assert 5 * prod(table[name].output[1:]) == connections


def test_products_of_the_original_one_by_one():
    """Lesson 00 divides VGG-16's by them: 47,501 times, or 37,217 with the zeros of our C3."""
    products = {"c1": 0, "c3": 0, "c3 with zeros": 0}
    reads = LeNet5Original().c3.reads.tolist()
    for _ in range(28 * 28):
        products["c1"] += 6 * 5 * 5
    for _ in range(10 * 10):
        for maps in reads:
            products["c3"] += 5 * 5 * sum(maps)
            products["c3 with zeros"] += 5 * 5 * len(maps)
    linear = 120 * 400 + 84 * 120
    needed = products["c1"] + products["c3"] + linear
    assert (products["c3"], products["c3 with zeros"]) == (150_000, 240_000)
    assert needed == 325_680
    macs = record(LeNet5Original(), (1, 32, 32)).macs
    assert macs == needed + 90_000
    vgg = on_meta(VGG, (3, 224, 224)).macs
    assert (round(vgg / needed), round(vgg / macs)) == (47_501, 37_217)


def test_table_1_reads_as_the_paper_says():
    reads = LeNet5Original().c3.reads
    assert TABLE_1.count("X") == reads.sum() == 60
    assert reads.sum(dim=1).tolist() == [3] * 6 + [4] * 9 + [6]
    for first, width, maps in ((0, 3, range(6)), (6, 4, range(6))):  # neighbours, round the corner
        for number in maps:
            listed = {(number + k) % 6 for k in range(width)}
            assert set(reads[first + number].nonzero().flatten().tolist()) == listed
    assert len({tuple(row) for row in reads.tolist()}) == 16


def test_c3_reads_only_its_table():
    c3 = LeNet5Original().c3
    maps = torch.rand(1, 6, 14, 14, requires_grad=True)
    for number in range(16):
        (gradient,) = torch.autograd.grad(c3(maps)[0, number].sum(), maps)
        assert torch.equal(gradient.abs().sum(dim=(0, 2, 3)) > 0, c3.reads[number])


def test_c3_adds_the_maps_of_its_table_and_a_bias():
    c3, maps = LeNet5Original().c3, torch.rand(2, 6, 9, 8)
    kernels, expected = iter(c3.weight), []
    for column, bias in zip(zip(*map(str.split, TABLE_1.strip().splitlines())), c3.bias):
        read = [maps[:, k : k + 1] for k, cell in enumerate(column) if cell == "X"]
        expected.append(bias + sum(F.conv2d(each, next(kernels)[None, None]) for each in read))
    torch.testing.assert_close(c3(maps), torch.cat(expected, dim=1))
    assert c3.bias.all() and next(kernels, None) is None


def test_the_original_is_the_chain_of_the_paper():
    """C1, S2, C3, S4, C5, F6, each followed by the squashing, then the distance to each digit."""
    net, images = LeNet5Original(), torch.rand(2, 1, 32, 32)
    maps = images
    for layer in (net.c1, net.s2, net.c3, net.s4, net.c5):
        maps = 1.7159 * torch.tanh(2 / 3 * layer(maps))
    features = 1.7159 * torch.tanh(2 / 3 * net.f6(maps.view(2, 120)))
    distances = (features[:, None, :] - net.output.centres[None]).pow(2).sum(dim=-1)
    torch.testing.assert_close(net(images), -distances)


def test_the_article_s_network_is_the_chain_of_its_layers():
    net, images = LeNet5(), torch.rand(2, 3, 32, 32)
    features, classifier = net.features, net.classifier
    maps = F.max_pool2d(features.c1(images), 2)
    vector = F.max_pool2d(features.c3(maps), 2).reshape(2, 16 * 5 * 5)
    vector = classifier.f6(classifier.c5(vector).relu()).relu()
    torch.testing.assert_close(net(images), classifier.output(vector))


def test_subsampling_is_weight_times_sum_plus_bias():
    s2 = LeNet5Original().s2
    maps = torch.rand(2, 6, 4, 4)
    expected = maps.unfold(2, 2, 2).unfold(3, 2, 2).sum(dim=(4, 5)) * s2.weight + s2.bias
    torch.testing.assert_close(s2(maps), expected)


def test_the_nearest_picture_wins():
    output = LeNet5Original().output
    assert output.centres.unique().tolist() == [-1, 1]
    logits = output(output.centres)
    assert logits.argmax(dim=1).tolist() == list(range(10)) and (logits.diagonal() == 0).all()
    assert (logits - logits.diagonal().diag()).max() <= 0


def test_the_squashing_takes_1_to_1():
    squash = LeNet5Original().squash1
    torch.testing.assert_close(
        squash(torch.tensor([1.0, -1.0])), torch.tensor([1.0, -1.0]), atol=1e-4, rtol=0
    )


def test_an_activation_is_there_only_if_asked_for():
    kinds = [type(module) for module in LeNet5(activation=nn.Tanh).features]
    assert kinds == [nn.Conv2d, nn.Tanh, nn.MaxPool2d, nn.Conv2d, nn.Tanh, nn.MaxPool2d]
    assert not any(isinstance(module, nn.ReLU) for module in LeNet5().features)


@pytest.mark.parametrize(("build", "size"), [(LeNet5, (3, 32, 32)), (LeNet5Original, (1, 32, 32))])
def test_it_learns_saves_exports_and_runs_on_meta(build, size, tmp_path):
    torch.manual_seed(0)
    model, images, labels = build(), torch.randn(8, *size), torch.arange(8)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(150):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    # Measured on four kinds of processor: all are right from step 9 and 25 on.
    assert torch.equal(model(images).argmax(dim=1), labels)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other = build()
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    torch.testing.assert_close(other(images), model(images))
    exported = torch.export.export(model.eval(), (images,)).module()
    torch.testing.assert_close(exported(images), model(images))
    assert build().to("meta")(images.to("meta")).shape == (8, 10)


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 1, 32, 32), (3, 32, 32)])
def test_another_shape_is_refused_with_what_is_expected(shape):
    with pytest.raises(ValueError, match=r"\(N, 3, 32, 32\).*c5 reads 16 maps of 5×5; got"):
        LeNet5()(torch.zeros(shape))


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="num_classes must be at least 1; got 0"):
        LeNet5(num_classes=0)
    with pytest.raises(ValueError, match="in_channels must be at least 1; got -1"):
        LeNet5(in_channels=-1)
    with pytest.raises(ValueError, match=r"\(N, 1, 32, 32\)"):
        LeNet5Original()(torch.zeros(2, 3, 32, 32))
