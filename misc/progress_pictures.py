"""Pictures that show, epoch by epoch, how localisation emerges."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from misc.annotations import CaptionedImage
from misc.embedder import COMPONENTS
from misc.encode import encode_texts, map_image_files
from misc.localization import heat_maps
from misc.runs import Run
from misc.text import WordVectors
from misc.transforms import load_image
from misc.visualization import overlay, panel

CAPTIONS = 4  # that are followed, the same in every epoch
TILE_SIDE = 256  # of each picture, in pixels


def followed(images: Sequence[CaptionedImage]) -> list[CaptionedImage]:
    """Choose the images whose first captions are followed: few, evenly spread."""
    captioned = [image for image in images if image.captions]
    return captioned[:: max(len(captioned) // CAPTIONS, 1)][:CAPTIONS]


def heat_map_panel(
    run: Run, images: Sequence[CaptionedImage], word_vectors: WordVectors
) -> Image.Image | None:
    """Draw the heat map of each image's first caption; ``None`` if no image can be read."""
    files = [image.path for image in images]
    (batch,) = map_image_files(run.model, files, run.config.image_size, batch_size=len(files))
    shown = [images[index] for index in batch.indices]
    if not shown:
        return None
    captions = [image.captions[0] for image in shown]
    texts = encode_texts(run.model, captions, word_vectors, quiet=True).to(batch.maps.device)
    components = min(COMPONENTS, texts.shape[1])
    tiles = []
    for image, maps, text in zip(shown, batch.maps, texts, strict=True):
        photo = load_image(image.path).resize((TILE_SIDE, TILE_SIDE))
        heat_map = heat_maps(maps, text[None], components)[0]
        tiles.append((image.captions[0], overlay(photo, heat_map)))
    return panel(tiles)


def log_heat_maps(
    run: Run, images: Sequence[CaptionedImage], word_vectors: WordVectors, writer: SummaryWriter
) -> None:
    """Add the heat maps of a few validation captions to TensorBoard, at the run's epoch.

    Args:
        run: its model is in eval mode.
        images: of the validation split.
        word_vectors: those of training.
        writer: of the run.
    """
    picture = heat_map_panel(run, followed(images), word_vectors)
    if picture is not None:
        writer.add_image("heat maps", np.asarray(picture), run.progress.epoch, dataformats="HWC")
