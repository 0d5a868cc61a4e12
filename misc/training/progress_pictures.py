"""Pictures that show, epoch by epoch, how localisation emerges."""

from collections.abc import Sequence

from PIL import Image

from misc.data.captioned_images import CaptionedImage
from misc.data.decoding import load_image
from misc.evaluation.localization import kernel_heat_maps
from misc.inference.batches import map_image_files
from misc.inference.encode import encode_texts
from misc.pictures.heat_maps import overlay
from misc.pictures.panels import panel
from misc.words.token_vectors import TokenVectors
from models.joint_embedding import JointEmbedding

CAPTIONS = 4  # that are followed, the same in every epoch
TILE_SIDE = 256  # of each picture, in pixels


def followed(images: Sequence[CaptionedImage]) -> list[CaptionedImage]:
    """Choose the images whose first captions are followed: few, evenly spread."""
    captioned = [image for image in images if image.captions]
    return captioned[:: max(len(captioned) // CAPTIONS, 1)][:CAPTIONS]


def heat_map_panel(
    model: JointEmbedding,
    images: Sequence[CaptionedImage],
    word_vectors: TokenVectors,
    image_size: int,
) -> Image.Image | None:
    """Draw the heat maps of the first captions of a few images; ``None`` if none can be read.

    Args:
        model: in eval mode.
        images: of the validation split.
        word_vectors: those of training.
        image_size: side of the square that images are squeezed to for the model, in pixels.
    """
    images = followed(images)
    files = [image.path for image in images]
    (batch,) = map_image_files(model, files, image_size, batch_size=len(files))
    shown = [images[index] for index in batch.indices]
    if not shown:
        return None
    captions = [image.captions[0] for image in shown]
    texts = encode_texts(model, captions, word_vectors, quiet=True).to(batch.maps.device)
    kernels = model.localization_kernels(texts, model.config.heat_map_components)
    tiles = []
    for image, maps, kernel in zip(shown, batch.maps, kernels, strict=True):
        photo = load_image(image.path).resize((TILE_SIDE, TILE_SIDE))
        heat_map = kernel_heat_maps(maps, kernel[None])[0]
        tiles.append((image.captions[0], overlay(photo, heat_map)))
    return panel(tiles)
