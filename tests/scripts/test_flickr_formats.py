"""Flickr8k's and Flickr30k's captions, in whatever format, give the same figures."""

import pytest

import eval_retrieval
from misc.data.captions import read_captions
from misc.data.paths import DataPaths
from tests.data.flickr_formats import (
    write_kaggle_8k,
    write_kaggle_30k,
    write_karpathy,
    write_lists,
    write_tokens,
)


def score(checkpoint, root, dataset, words):
    command = f"-p {checkpoint} --data-root {root} --dataset {dataset} -te --workers 0"
    command += f" --device cpu --image-size 32 --word-vectors {words}"
    return eval_retrieval.main(eval_retrieval.get_parser().parse_args(command.split()))


@pytest.fixture(scope="module")
def flickr(checkpoint, toy_root, tmp_path_factory):
    """Toy scenes that are called as Flickr's photographs are, and their metrics by Karpathy's."""
    folder = tmp_path_factory.mktemp("flickr") / "flickr8k"
    (folder / "Flicker8k_Dataset").mkdir(parents=True)
    images = {}
    for split in ("test", "val"):
        for image in read_captions(DataPaths(toy_root / "toy"), (split,)):
            name = f"{image.image_id}_{image.image_id:010x}.jpg"
            (folder / "Flicker8k_Dataset" / name).symlink_to(image.path)
            images[name] = split, [*image.captions[1:], f'{image.captions[0]}, a "scene"']
    write_karpathy(folder, images)
    words = toy_root / "toy/word_vectors"
    return images, folder, words, score(checkpoint, folder.parent, "flickr8k", words)


@pytest.mark.parametrize(
    ("dataset", "file", "write"),
    [
        ("flickr8k", "Flickr8k.token.txt", write_tokens),
        ("flickr8k", "captions.txt", write_kaggle_8k),
        ("flickr30k", "results_20130124.token", write_tokens),
        ("flickr30k", "results.csv", write_kaggle_30k),
    ],
)
def test_formats_of_captions_have_the_same_metrics(
    checkpoint, flickr, tmp_path, dataset, file, write
):
    images, folder, words, expected = flickr
    (tmp_path / dataset).mkdir()
    (tmp_path / dataset / "Images").symlink_to(folder / "Flicker8k_Dataset")
    write_lists(tmp_path / dataset, images, entities=dataset == "flickr30k")
    write(tmp_path / dataset / file, images)
    results = score(checkpoint, tmp_path, dataset, words)
    protocol = expected["protocol"].replace("flickr8k", dataset)
    assert results == {**expected, "protocol": protocol}
    assert (results["images"], results["captions"]) == (16, 80)
