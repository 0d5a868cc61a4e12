"""COCO in either release, and in whatever folders, gives the same figures."""

import pytest

import eval_retrieval
import pointing_game
import semantic_seg
from tests.data.coco_layouts import LAYOUTS, lay_out

COMMANDS = {
    eval_retrieval: ["-te", "--image-size", "32"],
    pointing_game: ["-k", "4", "--image-size", "64"],
    semantic_seg: ["-k", "4", "--image-size", "64", "--limit", "9"],
}


def score(script, checkpoint, root, words):
    command = ["-p", checkpoint, "--data-root", root, "--dataset", "coco", "--workers", 0]
    command += ["--device", "cpu", "--word-vectors", words, *COMMANDS[script]]
    return script.main(script.get_parser().parse_args(list(map(str, command))))


def check_equal(results, expected):
    assert results.keys() == expected.keys()
    for key, value in expected.items():
        if isinstance(value, float):  # batches of another order are rounded otherwise
            value = pytest.approx(value, abs=1e-4, nan_ok=True)
        assert results[key] == value, key


@pytest.fixture(scope="module")
def expected(checkpoint, toy_root):
    """Metrics of the toy set, as it lies there."""
    words = toy_root / "toy/word_vectors"
    return {script: score(script, checkpoint, toy_root / "toy", words) for script in COMMANDS}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_five_layouts_of_coco_have_the_same_metrics(
    checkpoint, toy_root, tmp_path, layout, expected
):
    root = lay_out(toy_root / "toy", tmp_path, layout)
    for script, metrics in expected.items():
        results = score(script, checkpoint, root, toy_root / "toy/word_vectors")
        check_equal(results, metrics)
        assert results["images"] > 8
