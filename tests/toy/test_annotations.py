import numpy as np
from pycocotools.coco import COCO

from misc.toy import scenes as toy_scenes
from misc.toy.annotations import segmentation
from misc.toy.grammar import (
    kinds,
)
from tests.toy.scenes import NOUNS, read


def test_the_split_file_has_the_keys_of_karpathys(folder):
    images = read(folder, "coco/dataset.json")["images"]
    assert [image["split"] for image in images] == ["train"] * 24 + ["val"] * 8 + ["test"] * 160
    keys = {"filepath", "filename", "imgid", "cocoid", "split", "sentids", "sentences"}
    assert images[0].keys() == keys
    assert images[5]["sentids"] == [s["sentid"] for s in images[5]["sentences"]] == [*range(25, 30)]
    for image in images:
        assert (folder / "coco/images" / image["filepath"] / image["filename"]).exists()
        assert image["filepath"] == ("train2014" if image["split"] == "train" else "val2014")
        for sentence in image["sentences"]:
            assert sentence["tokens"] == sentence["raw"].replace(",", "").split()


def test_masks_of_all_three_forms_decode_to_the_stated_area_and_box(folder, capsys):
    coco = COCO(folder / "coco/annotations/instances_val2014.json")
    forms = []
    for annotation in coco.loadAnns(coco.getAnnIds()):
        segmentation = annotation["segmentation"]
        form = list if isinstance(segmentation, list) else type(segmentation["counts"])
        forms.append("polygon" if form is list and form is type(segmentation) else form)
        mask = coco.annToMask(annotation)
        assert mask.shape == (toy_scenes.SIDE, toy_scenes.SIDE)
        assert mask.sum() == annotation["area"]
        ys, xs = np.nonzero(mask)
        edges = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
        tolerance = 1 if forms[-1] == "polygon" else 0
        np.testing.assert_allclose(edges, annotation["bbox"], atol=tolerance)
    assert forms[:6] == ["polygon", list, str] * 2
    assert len(coco.getImgIds()) == 168
    assert len(coco.getCatIds()) == len(kinds())


def test_one_mask_is_the_same_in_all_three_forms():
    coco = COCO()
    coco.imgs = {1: {"height": toy_scenes.SIDE, "width": toy_scenes.SIDE}}
    rows, columns = np.indices((toy_scenes.SIDE, toy_scenes.SIDE))
    disc = ((rows - 30) ** 2 + (columns - 90) ** 2 < 400).astype(np.uint8)
    corners = np.zeros_like(disc)
    corners[:9, :5] = corners[-7:, -4:] = 1  # the first and the last pixel are set
    for mask in (disc, corners):
        for form in range(3):
            annotation = {"image_id": 1, "segmentation": segmentation(mask, form)}
            decoded = coco.annToMask(annotation)
            overlap = (decoded & mask).sum() / (decoded | mask).sum()
            assert overlap > 0.95 if form == 0 else overlap == 1


def test_the_caption_file_has_the_captions_of_the_split_file(folder, capsys):
    coco = COCO(folder / "coco/annotations/captions_val2014.json")
    for image in read(folder, "coco/dataset.json")["images"][24:]:
        found = coco.loadAnns(coco.getAnnIds(imgIds=image["cocoid"]))
        assert [a["caption"] for a in found] == [s["raw"] for s in image["sentences"]]


def test_regions_join_coco_by_its_id_and_their_boxes_are_those_of_the_things(folder, capsys):
    coco = COCO(folder / "coco/annotations/instances_val2014.json")
    images = {i["image_id"]: i for i in read(folder, "visual_genome/image_data.json")}
    folders = set()
    for entry in read(folder, "visual_genome/region_descriptions.json"):
        image = images.pop(entry["id"])
        assert image["coco_id"] != image["image_id"]
        things = coco.loadAnns(coco.getAnnIds(imgIds=image["coco_id"]))
        boxes = {coco.cats[thing["category_id"]]["name"]: thing["bbox"] for thing in things}
        subfolder = image["url"].split("/")[-2]
        folders.add(subfolder)
        path = folder / "visual_genome" / subfolder / f"{entry['id']}.jpg"
        assert (
            path.read_bytes()
            == (
                folder / "coco/images/val2014" / coco.imgs[image["coco_id"]]["file_name"]
            ).read_bytes()
        )
        assert len(entry["regions"]) >= len(things)
        for region in entry["regions"]:
            x, y, width, height = (region[key] for key in ("x", "y", "width", "height"))
            assert 0 <= x < x + width <= toy_scenes.SIDE
            assert 0 <= y < y + height <= toy_scenes.SIDE
            if region["phrase"] in NOUNS:
                assert boxes[NOUNS[region["phrase"]]] == [x, y, width, height]
    assert not images
    assert folders == {"VG_100K", "VG_100K_2"}
