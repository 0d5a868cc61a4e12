import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import localize
from misc.checkpoints.checkpoint import load_model, save_checkpoint
from misc.cli.options import PEAK_SIGMA
from misc.data.paths import data_paths, find_word_vectors
from misc.inference.encode import encode_images, encode_texts
from misc.pictures import outputs
from misc.runtime.files import FullDiskError
from tests.evaluation.smoothing_twin import twin_smoothed
from tests.scripts.localization import SIZE, run, twin_heat_map


def picture(file, size=(90, 60), orientation=None):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.fromarray(pixels).resize(size).save(file, exif=exif)
    return file


def test_localize_writes_a_picture_and_raw_heat_maps_an_image(checkpoint, toy_root, tmp_path):
    upright = picture(tmp_path / "photo.jpg")
    folder = tmp_path / "folders" / "more"
    folder.mkdir(parents=True)
    picture(folder / "photo.png")
    turned = picture(folder / "turned.jpg", orientation=6)
    out = tmp_path / "out"
    options = ["-i", upright, folder.parent, "-r", "-t", "a burger", "beans", "-o", out]
    results = run(localize, checkpoint, toy_root, *options, "--boxes", "--npz")
    names = ["photo", "photo-2", "turned"]
    assert sorted(file.name for file in out.iterdir()) == sorted(
        f"{name}{suffix}" for name in names for suffix in (".png", ".npz")
    )
    with np.load(out / "turned.npz", allow_pickle=False) as raw:
        assert raw["image_size"].tolist() == [60, 90]
        assert raw["phrases"].tolist() == ["a burger", "beans"]
        assert raw["heat_maps"].shape == (2, 6, 6)
        words = find_word_vectors("", data_paths(toy_root, "toy"))
        twin = twin_heat_map(load_model(checkpoint), words, turned, "beans")
        np.testing.assert_allclose(raw["heat_maps"][1], twin, rtol=1e-4, atol=1e-5)
        entries = results["images"][2]["phrases"]
        assert raw["peaks"].tolist() == [entry["peak"] for entry in entries]
        assert raw["smoothed_peaks"].tolist() == [entry["smoothed_peak"] for entry in entries]
        row, column = np.unravel_index(twin_smoothed(twin, PEAK_SIGMA).argmax(), twin.shape)
        assert raw["smoothed_peaks"][1].tolist() == [(column + 0.5) * 10, (row + 0.5) * 15]
        row, column = np.unravel_index(twin.argmax(), twin.shape)
        assert raw["peaks"][1].tolist() == [(column + 0.5) * 10, (row + 0.5) * 15]
    with Image.open(out / "photo.png") as panel:
        assert panel.width > 3 * 90


def test_a_full_disk_ends_localize_and_is_not_the_fault_of_each_image(
    checkpoint, toy_root, tmp_path, monkeypatch
):
    files = [picture(tmp_path / f"{number}.jpg") for number in range(3)]
    asked = []

    def fill(*arguments):
        asked.append(arguments)
        raise FullDiskError("out/0.png needs 9 MB, and 0 MB are free")

    monkeypatch.setattr(outputs, "save_png", fill)
    with pytest.raises(FullDiskError, match="needs 9 MB"):
        run(localize, checkpoint, toy_root, "-i", *files, "-t", "a dog", "-o", tmp_path / "out")
    assert len(asked) == 1


def test_a_name_too_long_for_the_disk_costs_that_image_only(checkpoint, toy_root, tmp_path):
    long = picture(tmp_path / ("\u65e9" * 83 + "ab.jpg"))  # 255 bytes, as many as there may be
    files = [long, picture(tmp_path / "photo.jpg")]
    options = "-i", *files, long, "-t", "a dog", "-o", tmp_path / "out"  # the second time with -2
    results = run(localize, checkpoint, toy_root, *options)
    assert [entry["image"] for entry in results["images"]] == list(map(str, files))
    assert results["left_out"] == [str(long)]


def test_localize_leaves_out_what_it_cannot_read(checkpoint, toy_root, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    options = ["-t", "a dog", "-o", tmp_path / "out"]
    with pytest.raises(ValueError, match="none of the 1 images"):
        run(localize, checkpoint, toy_root, "-i", broken, *options)
    fine = picture(tmp_path / "fine.jpg")
    results = run(localize, checkpoint, toy_root, "-i", broken, fine, *options)
    assert results["left_out"] == [str(broken)]
    assert len(results["images"]) == 1
    with pytest.raises(ValueError, match="at least one word"):
        run(localize, checkpoint, toy_root, "-i", fine, "-t", " ", "-o", tmp_path / "out")


def test_an_output_whose_name_is_too_long_costs_that_image_only(checkpoint, toy_root, tmp_path):
    photo = next((toy_root / "toy/coco/images/val2014").iterdir())
    files = [tmp_path / folder / ("a" * 251 + ".jpg") for folder in ("first", "second")]
    for file in files:
        file.parent.mkdir()
        shutil.copy(photo, file)
    options = f"-p {checkpoint} -o {tmp_path}/out --data-root {toy_root} --device cpu -k 5 --npz -t"
    images = ["-i", *map(str, files)]
    args = localize.get_parser().parse_args([*images, *options.split(), "a dog"])
    results = localize.main(args)
    assert [entry["image"] for entry in results["images"]] == [str(files[0])]
    assert results["left_out"] == [str(files[1])]  # whose name gets a number


def test_localize_says_whether_phrases_are_there_by_the_images_kept_with_the_model(
    checkpoint, toy_root, tmp_path, caplog
):
    photos = sorted((toy_root / "toy/coco/images/val2014").glob("*.jpg"))
    options = ["-t", "a burger", "beans", "-o", tmp_path / "out", "-i"]
    caplog.set_level("INFO")
    unknown = run(localize, checkpoint, toy_root, *options, photos[0])["images"][0]["phrases"]
    assert [entry["fits_better_than"] for entry in unknown] == [None, None]
    assert "unknown whether phrases are there" in caplog.text
    model, words = load_model(checkpoint), find_word_vectors("", data_paths(toy_root, "toy"))
    reference, _, _ = encode_images(model, photos[1:], SIZE, 4)
    pairs = torch.stack([reference, -reference]).half()  # of which the images count
    save_checkpoint(tmp_path / "a.pt", model, {"config": {"dataset": "toy"}}, pairs)
    options += [photos[0], "--word-vectors", toy_root / "toy/word_vectors"]
    (image,) = run(localize, tmp_path / "a.pt", toy_root, *options)["images"]
    own, _, _ = encode_images(model, photos[:1], SIZE, 4)
    for entry in image["phrases"]:
        text = encode_texts(model, [entry["phrase"]], words)[0]
        fewer = sum(bool(row @ text < own[0] @ text) for row in reference)
        assert entry["fits_better_than"] == pytest.approx(100 * fewer / len(reference), abs=8)
