"""An image of which the model computes no finite number is left out, named and counted."""

import sys

import pytest

import eval_retrieval
import localize
import pointing_game
import semantic_seg
from misc import cli
from misc.data.paths import data_paths
from models.joint_embedding import JointEmbedding
from tests.scripts.localization import COMPONENTS, SIZE


@pytest.fixture(autouse=True)
def one_image_without_numbers(monkeypatch):
    """Break the embedding and the maps of the second image that is embedded."""
    broken: list[object] = []
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


def arguments(checkpoint, root, *options):
    command = ["-p", checkpoint, "--data-root", root, "--workers", "0", "--device", "cpu"]
    return list(map(str, [*command, "--image-size", SIZE, *options]))


def run(script, *options):
    return script.main(script.get_parser().parse_args(arguments(*options)))


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


@pytest.mark.parametrize("script", [eval_retrieval, pointing_game, semantic_seg])
def test_the_exit_status_of_an_evaluation_says_so(
    checkpoint, toy_root, monkeypatch, script, one_image_without_numbers
):
    command = [script.__name__, *arguments(checkpoint, toy_root, "--dataset", "toy")]
    command += ["-k", str(COMPONENTS)] if script is not eval_retrieval else []
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        cli.run(script.main, script.get_parser())
    assert ended.value.code == 3
    cli.run(script.main, script.get_parser())  # all images can be embedded now
