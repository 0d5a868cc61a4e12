"""Settings of the losses."""

import dataclasses

from models.config import ABOVE_0, AT_LEAST_0, AT_LEAST_1, LOSS, setting


@dataclasses.dataclass(frozen=True)
class LossSettings:
    """On what the model is trained: softmax or all negatives first, then the hardest (Eq. 7)."""

    margin: float = setting(0.2, "margin of the triplet loss", group=LOSS, within=ABOVE_0)
    num_negatives: int = setting(
        1, "hardest negatives that count for each item", group=LOSS, within=AT_LEAST_1
    )
    warmup_epochs: int = setting(
        0,
        "epochs on a softmax loss over all negatives first; hardest ones collapse from scratch",
        group=LOSS,
        within=AT_LEAST_0,
    )
    warmup_loss: str = setting(
        "softmax",
        "loss of the warm-up: softmax, or all (triplets with all negatives, Eq. 6, which VSE++, "
        "2018, compares with the hardest)",
        group=LOSS,
        choices=("softmax", "all"),
    )
    softmax_scale: float = setting(
        20.0, "factor on the similarities in the softmax loss", group=LOSS, within=ABOVE_0
    )
    softmax_positives: str = setting(
        "joint",
        "of images with several captions, in the softmax loss: joint (they share what it gives, "
        "Khosla et al., 2020) or apart (each is compared with captions of other images alone)",
        group=LOSS,
        choices=("joint", "apart"),
    )
    location_weight: float = setting(
        0.0,
        "if positive: factor on the same loss over locations of images, each of which is compared "
        "with captions as the whole is, so that a caption is found somewhere in its image",
        group=LOSS,
        within=AT_LEAST_0,
    )
    location_phrases: int = setting(
        0,
        "with --location-weight and --images-per-batch: if positive, so many noun phrases of each "
        "image's captions, drawn anew in each epoch of the warm-up, are to be found somewhere in "
        "it, too, and nowhere in images whose captions name no such thing; for captions in English",
        group=LOSS,
        within=AT_LEAST_0,
    )
