"""How training goes: all settings, in one place each."""

import dataclasses

from misc.config.data_sets import DATASETS
from misc.config.losses import LossSettings
from models.config import (
    ABOVE_0,
    AT_LEAST_0,
    AT_LEAST_1,
    BELOW_1,
    DATA,
    IMAGE_PATH,
    SCHEDULE,
    SPEED,
    TEXT_PATH,
    Range,
    setting,
)

PRECISIONS = ("float32", "bfloat16")  # names of torch's dtypes


@dataclasses.dataclass(frozen=True)
class TrainConfig(LossSettings):
    """How the model is trained. The defaults are the recipe of the published code.

    Everything that changes over time is a function of the epoch, counted from 0.
    """

    dataset: str = setting("coco", "data set to train on", group=DATA, choices=DATASETS)
    captions: str = setting(
        "",
        "captions of your own, for --dataset captions: a .jsonl, .csv, .tsv or .txt file with an "
        "image and a caption column, COCO's captions or Karpathy's splits as .json; 'folder' for "
        ".txt files beside the images",
        group=DATA,
    )
    images: str = setting(
        "",
        "folder of their images, or of the photographs of another data set; default: that of the "
        "file of captions, or of the data set",
        group=DATA,
    )
    word_vectors: str = setting(
        "",
        "folder with dictionary.txt and utable.npy; 'glove': the built-in 50-d GloVe; or a "
        "pretrained text encoder, whose frozen token states are the vectors (--word-dim is their "
        "dimension): a folder of transformers, package:NAME (a pip package that has one) or "
        "hf://user/name; default: word_vectors under the data root",
        group=TEXT_PATH,
    )
    image_weights: str = setting(
        "imagenet",
        "what the image path starts from: imagenet (of torchvision or timm, downloaded once), "
        "none, package:efficientnet-lite0 (from pip, for timm/tf_efficientnet_lite0; 1, 2), or "
        "a file: a network's own, or pretrained_classif_152_2400.pth.tar",
        group=IMAGE_PATH,
    )
    seed: int = setting(
        0,
        "seed of weights, data order, augmentation and dropout",
        group=SCHEDULE,
        within=AT_LEAST_0,
    )
    epochs: int = setting(
        60, "how many epochs to train", "-mepoch", "--max_epoch", group=SCHEDULE, within=AT_LEAST_1
    )
    batch_size: int = setting(
        160,
        "pairs in a batch of each process: N processes of torchrun train on N times as many a "
        "step; and images that are validated at a time",
        "-bs",
        "--batch_size",
        group=SCHEDULE,
        within=AT_LEAST_1,
    )
    images_per_batch: int = setting(
        0,
        "if positive: a batch is of so many images, each embedded once, with captions of theirs, "
        "instead of --batch-size pairs, as published, in which an image is embedded for each "
        "caption",
        group=SCHEDULE,
        within=AT_LEAST_0,
    )
    captions_per_image: int = setting(
        0,
        "with --images-per-batch: if positive, so many captions of each image are drawn anew in "
        "each epoch, instead of all",
        group=SCHEDULE,
        within=AT_LEAST_0,
    )
    chunk_size: int = setting(
        0,
        "if positive: embed so many images of a batch at a time, which memory must suffice for, at "
        "the cost of a second pass; the gradients are those of the whole batch, but for batch "
        "norms that train, which see chunks",
        group=SPEED,
        within=AT_LEAST_0,
    )
    max_batches: int = setting(
        0,
        "if positive: train on so many batches an epoch, for a trial, which computes no maps ahead",
        group=SPEED,
        within=AT_LEAST_0,
    )
    learning_rate: float = setting(
        1e-3, "highest rate", "-lr", "--learning_rate", group=SCHEDULE, within=ABOVE_0
    )
    learning_rate_decrease: float = setting(
        0.5,
        "factor on the rate at each epoch from --first-decrease to --last-decrease",
        "-lrd",
        "--learning_rate_decrease",
        group=SCHEDULE,
        within=Range(0, 1, without_low=True, without_high=False),
    )
    first_decrease: int = setting(
        3, "first epoch at which the rate decreases", group=SCHEDULE, within=AT_LEAST_0
    )
    last_decrease: int = setting(
        7, "last of them; a single step if it is the first, too", group=SCHEDULE, within=AT_LEAST_0
    )
    cycle_epochs: int = setting(
        0,
        "if positive: the rate follows --cycle over so many epochs, instead of steps",
        group=SCHEDULE,
        within=AT_LEAST_0,
    )
    cycle: str = setting(
        "one-cycle",
        "one-cycle (up over the first fifth, then down along a cosine; Smith and Topin, 2018) or "
        "cosine (down along it from the first step; Loshchilov and Hutter, 2017)",
        group=SCHEDULE,
        choices=("one-cycle", "cosine"),
    )
    trunk_rate: float = setting(
        1.0,
        "factor on the rate for the ResNet or timm's network (discriminative rates; Howard and "
        "Ruder, 2018)",
        group=IMAGE_PATH,
        within=AT_LEAST_0,
    )
    text_rate: float = setting(
        1.0, "the same for the text path", group=TEXT_PATH, within=AT_LEAST_0
    )
    weight_decay: float = setting(
        0.0, "decoupled weight decay (AdamW); 0 is plain Adam", group=SCHEDULE, within=AT_LEAST_0
    )
    clip_norm: float = setting(
        0.0,
        "if positive: longest gradient; longer ones are scaled down (Pascanu et al., 2013)",
        group=SCHEDULE,
        within=AT_LEAST_0,
    )
    ema: float = setting(
        0.0,
        "if positive: validate, and make the model of the checkpoints, an exponential moving "
        "average of the weights with this decay, such as 0.999; smaller in the first steps "
        "(Polyak and Juditsky, 1992)",
        group=SCHEDULE,
        within=BELOW_1,
    )

    crop_size: int = setting(
        256, "side of the training crops in pixels", group=IMAGE_PATH, within=AT_LEAST_1
    )
    crop_min_scale: float = setting(
        0.08,
        "smallest share of the image's area in a crop",
        group=IMAGE_PATH,
        within=Range(0, 1, without_low=True, without_high=False),
    )
    flip: bool = setting(True, "mirror every other training image", group=IMAGE_PATH)
    image_size: int = setting(
        350, "side of the validation images in pixels", group=IMAGE_PATH, within=AT_LEAST_1
    )
    cache_features: bool = setting(
        False,
        "keep the maps of the frozen trunk, or of its part that never trains, on disk, of whole "
        "images at --input-size, with --flip of their mirror images, and of --cached-crops "
        "(float16, beside the runs), instead of computing them in each epoch",
        group=SPEED,
    )
    cached_crops: int = setting(
        0,
        "with --cache-features: so many crops of each image are kept, too, of --crop-min-scale or "
        "more of it, every other mirrored with --flip; each epoch draws one of all views",
        group=IMAGE_PATH,
        within=AT_LEAST_0,
    )
    word_dropout: float = setting(
        0.0,
        "share of a caption's words left out at random in training (VSE-infinity has 0.2)",
        group=TEXT_PATH,
        within=BELOW_1,
    )

    text_from: int = setting(
        2, "first epoch in which the text path trains", group=TEXT_PATH, within=AT_LEAST_0
    )
    image_from: int = setting(
        9,
        "first epoch in which the 1x1 convolution and the ResNet train",
        "-fepoch",
        "--fepoch",
        group=IMAGE_PATH,
        within=AT_LEAST_0,
    )
    finetune_epoch: int = setting(
        0,
        "first epoch in which the ResNet or timm's network trains, if later than --image-from",
        group=IMAGE_PATH,
        within=AT_LEAST_0,
    )
    first_trained_stage: int = setting(
        3,
        "first stage of that network that ever trains; 0 trains the stem and all stages",
        group=IMAGE_PATH,
        within=Range(0, 4, without_high=False),
    )
    trained_parts: int = setting(
        0,
        "if positive: only so many parts with weights at the end of that network (residual blocks, "
        "convolutions and batch norms beside them) ever train, in place of stages; batch norms "
        "keep their statistics unless --batch-norm train, and --cache-features keeps what comes "
        "before. For networks whose parts run in a row",
        group=IMAGE_PATH,
        within=AT_LEAST_0,
    )
    batch_norm: str = setting(
        "frozen",
        "batch norms of frozen layers: frozen, or train (the statistics drift, as in 2018)",
        group=IMAGE_PATH,
        choices=("frozen", "train"),
    )
    precision: str = setting(
        "float32", "of matrix products and convolutions", group=SPEED, choices=PRECISIONS
    )

    @property
    def items_per_batch(self) -> int:
        """Images, or pairs, in a batch of each process."""
        return self.images_per_batch or self.batch_size

    @property
    def thaw_epoch(self) -> int:
        """First epoch in which the trunk trains."""
        return max(self.image_from, self.finetune_epoch)
