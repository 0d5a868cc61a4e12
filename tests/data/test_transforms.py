import numpy as np
import pytest
import torch
from PIL import Image

from misc.data.decoding import load_image
from misc.data.transforms import Views, evaluation_transform, views_of
from misc.data.transforms import training_transform as train

MEAN, STANDARD_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def save(image, path, **options):
    image.save(path, **options)
    return path


def test_evaluation_squeezes_to_a_square_and_normalises(tmp_path):
    image = load_image(save(Image.new("RGB", (30, 10), (255, 0, 128)), tmp_path / "a.png"))
    tensor = evaluation_transform(8, (MEAN, STANDARD_DEVIATION))(image)
    expected = (torch.tensor([1.0, 0.0, 128 / 255]) - torch.tensor(MEAN)) / torch.tensor(
        STANDARD_DEVIATION
    )
    assert tensor.shape == (3, 8, 8)
    torch.testing.assert_close(tensor, expected[:, None, None].expand(3, 8, 8))


def test_training_crops_follow_the_seed_and_flip_only_if_asked():
    ramp = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None] * 4, 64, axis=0).repeat(3, axis=2)
    image = Image.fromarray(ramp)
    flipped = []
    for flip in (True, False):
        rising = []
        for seed in range(20):
            torch.manual_seed(seed)
            crop = train(32, 0.5, flip, (MEAN, STANDARD_DEVIATION))(image)
            rising.append(bool(crop[0, 0, -1] > crop[0, 0, 0]))
        flipped.append(not all(rising))
    assert flipped == [True, False]


def test_views_are_crops_of_the_image_by_their_seed():
    """Of an image whose red rises to the right and whose green rises downwards."""
    rising = np.linspace(0, 255, 64).astype(np.uint8)
    across, down = np.meshgrid(rising, rising)
    image = Image.fromarray(np.stack([across, down, 0 * down], axis=2)).resize((128, 64))
    plain = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    views = views_of(image, 32, Views(40, 0.25, flip=True), plain, seed=3)
    assert views.shape == (42, 3, 32, 32)
    torch.testing.assert_close(views[1], views[0].flip(2))
    views = torch.cat([views[:1], views[2:]])
    red, green = views[:, 0].mean(dim=1), views[:, 1].mean(dim=2)  # (41, 32), by column and by row
    mirrored = red[:, 0] > red[:, -1]
    assert not mirrored[0] and 10 <= mirrored.sum() <= 30
    width, height = (red[:, -1] - red[:, 0]).abs(), green[:, -1] - green[:, 0]
    shares = width * height / (width[0] * height[0])
    assert (shares > 0.24).all() and shares.min() < 0.4 and (shares[1:] < 1.01).all()
    ratios = (width / height)[shares < 0.7]
    assert (ratios > 0.7).all() and (ratios < 1.4).all() and ratios.std() > 0.1
    same, other = (views_of(image, 32, Views(1, 0.25), plain, seed) for seed in (3, 4))
    assert torch.equal(same[0], other[0]) and not torch.equal(same[1], other[1])
    whole = views_of(image, 32, Views(3, 1.0), plain, seed=0)
    assert (whole[1:] - whole[0]).abs().max() < 1e-6


def test_transparency_is_over_white(tmp_path):
    clear = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    assert load_image(save(clear, tmp_path / "a.png")).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([9, 9, 9, 200, 0, 0])
    path = save(palette, tmp_path / "b.png", transparency=0)
    assert load_image(path).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["L", "1", "CMYK", "P", "LA", "I;16"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    suffix = ".jpg" if mode == "CMYK" else ".png"
    # CMYK counts ink.
    whites: dict[str, int | tuple[int, ...]] = {"I;16": 65535, "CMYK": (0, 0, 0, 0)}
    white = Image.new(mode, (3, 3), whites.get(mode, "white"))
    image = load_image(save(white, tmp_path / f"a{suffix}"))
    assert image.mode == "RGB"
    if mode != "P":
        assert np.asarray(image)[0, 0].min() > 250


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    path = save(Image.fromarray(np.full((2, 2), 128 * 256, np.uint16)), tmp_path / "a.png")
    assert load_image(path).getpixel((0, 0)) == (128, 128, 128)


def test_exif_orientation_is_respected(tmp_path):
    image = Image.new("RGB", (4, 2))
    exif = image.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees to show
    assert load_image(save(image, tmp_path / "a.jpg", exif=exif)).size == (2, 4)


def test_unreadable_files_are_errors_that_name_them(tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    whole = save(Image.effect_noise((64, 64), 90), tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("text.jpg", "cut.jpg", "empty.png", "absent.jpg"):
        with pytest.raises(ValueError, match=f"cannot read image .*{name}"):
            load_image(tmp_path / name)
