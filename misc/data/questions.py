"""Which phrases the pointing game asks for."""

from misc.data.captions import read_captions
from misc.data.entities import read_entities
from misc.data.paths import DataPaths
from misc.data.referring import SPLIT_BY, read_referring
from misc.data.region_images import Questions
from misc.data.regions import read_category_boxes, read_coco_ids, read_regions
from misc.runtime.failures import Failure


def read_questions(
    paths: DataPaths,
    dataset: str,
    split: str,
    rest_val: bool,
    all_images: bool,
    prompt: str,
    left_out: list[Failure] | None = None,
) -> Questions:
    """Read the phrases of Visual Genome, of Entities, of RefCOCO, or of COCO's categories.

    Args:
        paths: where the files are.
        dataset: "flickr30k_entities", of ``SPLIT_BY``, "coco" (things), else Visual Genome.
        split: of the first two.
        rest_val: True asks only for images of COCO that Karpathy's split calls val.
        all_images: True asks for all images of Visual Genome, also those not in COCO val2014.
        prompt: the phrase of a category, in which {name} stands for its name.
        left_out: gets what cannot be used of the files.

    Raises:
        ValueError: if something is asked for that the data set has not.
    """
    if dataset == "flickr30k_entities" or dataset in SPLIT_BY:
        if rest_val or all_images:
            raise ValueError(f"-rv and --all-images are not for --dataset {dataset}")
        if dataset in SPLIT_BY:
            return read_referring(paths, dataset, split, left_out)
        return read_entities(paths, split, left_out)
    if all_images and dataset == "coco":
        raise ValueError("--all-images is for Visual Genome, not for --dataset coco")
    chosen: set[int] | None = None
    if rest_val:
        chosen = {image.image_id for image in read_captions(paths, ("val",), left_out)}
    if dataset == "coco":
        images = read_category_boxes(paths, prompt, left_out)
        return Questions([one for one in images if chosen is None or one.image_id in chosen])
    if not rest_val and not all_images:
        chosen = read_coco_ids(paths, left_out)
    return Questions(read_regions(paths, chosen, left_out))
