"""An image of which the model computes no finite number is left out, named and counted."""

import pytest

import eval_retrieval
import localize
import pointing_game
import semantic_seg
from misc.data.paths import data_paths
from models.joint_embedding import JointEmbedding
from tests.scripts.localization import COMPONENTS, SIZE


@pytest.fixture(autouse=True)
def one_image_without_numbers(monkeypatch):
    """Break the embedding and the maps of the second image that is embedded."""
    broken = []
    for name in ("encode_image", "encode_image_with_maps"):
        compute = getattr(JointEmbedding, name)

        def encode(model, images, compute=compute):
            results = compute(model, images)
            if len(images) > 1 and not broken:
                broken.append(images)
                for tensor in results if isinstance(results, tuple) else (results,):
                    tensor[1, 0] = float("nan")
            return results

        monkeypatch.setattr(JointEmbedding, name, encode)


def run(script, checkpoint, root, *options):
    command = ["-p", checkpoint, "--data-root", root, "--workers", "0", "--device", "cpu"]
    command += ["--image-size", SIZE, *options]
    return script.main(script.get_parser().parse_args(list(map(str, command))))


def test_scores_are_of_the_others(checkpoint, toy_root, caplog):
    toy = ("--dataset", "toy")
    results = run(eval_retrieval, checkpoint, toy_root, *toy, "--split", "test")
    assert (results["images"], results["images_left_out"]) == (15, 1)
    assert ".jpg: its embedding is not finite" in caplog.text


@pytest.mark.parametrize(
    ("script", "key"), [(pointing_game, "unreadable_images"), (semantic_seg, "images_left_out")]
)
def test_images_without_finite_maps_are_listed(checkpoint, toy_root, caplog, capsys, script, key):
    results = run(script, checkpoint, toy_root, "--dataset", "toy", "-k", COMPONENTS)
    printed, count = capsys.readouterr().out, results["images"]
    assert f"toy: {count} of {count + 1} images" in printed
    assert caplog.text.count(".jpg: its activation maps are not finite") == 1
    assert f"images left out, the log says why: 1 ({results[key][0]})" in printed


def test_pictures_are_of_the_others(checkpoint, toy_root, tmp_path, caplog):
    files = sorted((data_paths(toy_root, "toy").images / "val2014").iterdir())[:3]
    options = ["-i", *files, "-t", "a dog", "-o", tmp_path, "-k", COMPONENTS]
    results = run(localize, checkpoint, toy_root, *options)
    assert results["left_out"] == [str(files[1])]
    assert len(results["images"]) == len(list(tmp_path.iterdir())) == 2
    assert caplog.text.count(f"{files[1]}: its activation maps are not finite") == 1
