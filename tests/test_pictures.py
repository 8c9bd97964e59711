"""Pictures of one's own: what a file shows is what comes out, and what is none is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from cnn_lessons import data


def written(path, pixels, mode=None, **how):
    Image.fromarray(np.asarray(pixels, dtype=np.uint8), mode).save(path, **how)
    return path


def test_a_picture_of_the_right_size_comes_back_as_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3))
    found = data.read_picture(written(tmp_path / "a.png", pixels))
    assert found.dtype == torch.uint8 and found.is_contiguous()
    assert torch.equal(found, torch.from_numpy(pixels).permute(2, 0, 1).to(torch.uint8))


def test_the_square_in_the_middle_is_taken(tmp_path):
    pixels = np.zeros((64, 192, 3))
    pixels[:, :64], pixels[:, 64:128], pixels[:, 128:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    found = data.read_picture(written(tmp_path / "wide.png", pixels)).float()
    assert found[1].min() > 200 and found[0, :, 4:-4].max() < 5 and found[2, :, 4:-4].max() < 5


def test_fine_stripes_become_grey_and_no_false_stripes(tmp_path):
    stripes = np.repeat(255 * (np.arange(640) % 2), 3).reshape(1, 640, 3)
    found = data.read_picture(written(tmp_path / "s.png", np.repeat(stripes, 640, axis=0)))
    inside = found[:, :, 2:-2].float()
    assert inside.std() < 3 and 120 < inside.mean() < 135


@pytest.mark.parametrize(("mode", "shape"), [("L", (40, 40)), ("RGBA", (40, 40, 4))])
def test_grey_and_transparent_pictures_have_three_colours(tmp_path, mode, shape):
    found = data.read_picture(written(tmp_path / "p.png", np.zeros(shape)))
    assert found.shape == (3, 32, 32)
    assert (found == (255 if mode == "RGBA" else 0)).all(), "what is transparent is white"


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:16] = 255
    exif = Image.Exif()
    exif[274] = 6  # orientation: turn it by a quarter
    found = data.read_picture(written(tmp_path / "p.png", pixels, exif=exif)).float()
    assert found[:, :, 16:].mean() == 255 and found[:, :, :16].mean() == 0


def test_another_size_and_what_is_refused(tmp_path):
    path = written(tmp_path / "a.png", np.zeros((9, 5, 3)))
    assert data.read_picture(str(path), 28).shape == (3, 28, 28)
    with pytest.raises(ValueError, match="size must be 1 or more; got 0"):
        data.read_picture(path, 0)
    with pytest.raises(FileNotFoundError, match="there is none at"):
        data.read_picture(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(path.read_bytes()[:40])
    for name in ("text.png", "cut.png", "."):
        with pytest.raises(ValueError, match="path must be a picture such as PNG or JPEG"):
            data.read_picture(tmp_path / name)
