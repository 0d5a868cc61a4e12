import pytest
import torch
from PIL import Image

from demo import photographs
from demo.photographs import ABSENT, RIGHT, WRONG, judged
from misc.checkpoints.checkpoint import save_checkpoint
from misc.data.paths import data_paths
from misc.data.region_images import RegionImage
from misc.data.regions import read_category_boxes
from models.joint_embedding import JointEmbedding
from tests.demo.miniature import MINIATURE


def picture(root, output, model):
    command = [str(output), "-p", str(model), "--data-root", str(root)]
    return photographs.main(photographs.get_parser().parse_args(command))


def test_an_answer_is_right_in_any_box_of_the_category_wrong_outside_and_absent_without_one():
    boxes = torch.tensor([[0.0, 0.0, 40.0, 40.0], [60.0, 60.0, 40.0, 40.0]])
    seen = RegionImage(7, None, (100, 100), (1,), ("hot dog",), boxes, torch.tensor([0, 0]))
    heat_maps = torch.zeros(3, 1, 10, 10)
    heat_maps[0, 0, 8, 8] = heat_maps[1, 0, 1, 8] = heat_maps[2, 0, 1, 1] = 1
    found = [judged(seen, "a hot dog", heat_map) for heat_map in heat_maps]
    assert found == [RIGHT, WRONG, RIGHT]
    assert judged(seen, "a dog", heat_maps[0]) == ABSENT


@pytest.fixture
def model(toy_root, tmp_path):
    torch.manual_seed(0)
    words = {"word_vectors": str(toy_root / "toy" / "word_vectors")}
    save_checkpoint(tmp_path / "best.pt", JointEmbedding(MINIATURE), {"config": words})
    return tmp_path / "best.pt"


def test_the_picture_has_a_tile_for_each_phrase_under_the_headings_there_are(
    toy_root, tmp_path, model, monkeypatch
):
    root = toy_root / "toy"
    shown = read_category_boxes(data_paths(root, "coco"), "{name}")[0]
    monkeypatch.setattr(photographs, "ASKED", {shown.image_id: ("a zebra crossing",) * 4})
    output = picture(root, tmp_path / "found.png", model)
    with Image.open(output) as found:
        assert found.width > 3 * photographs.TILE[0]
        assert 2 * photographs.TILE[1] < found.height < 3 * photographs.TILE[1]


def test_photographs_that_are_missing_are_named(toy_root, tmp_path, model):
    with pytest.raises(ValueError, match=r"val2014 are missing: \[126107, "):
        picture(toy_root / "toy", tmp_path / "found.png", model)
    assert not (tmp_path / "found.png").exists()
