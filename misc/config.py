"""Where the data lie and how training goes: all settings, in one place each."""

import dataclasses
import math
import os
from pathlib import Path

from models.config import ModelConfig, setting

PRECISIONS = ("float32", "bfloat16")  # names of torch's dtypes
DATASETS = ("coco", "flickr8k", "flickr30k", "captions", "toy")
TOY_IMAGE_SIZE = 128  # side of the toy scenes in pixels, which are looked at as they are


@dataclasses.dataclass(frozen=True)
class DataPaths:
    """The files of one data set under a data root; edit them if yours lie elsewhere.

    data/README.md has the sizes and further sources of each.
    """

    root: Path
    dataset: str = "coco"
    visual_genome: Path | None = None  # its folder, if it is not under the root
    own_captions: str = (
        ""  # of the data set "captions": see misc.data.own_captions.read_caption_file
    )
    own_images: str = ""

    @property
    def split_file(self) -> Path:
        """Karpathy's split, cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip."""
        return self.root / self.dataset / "dataset.json"

    @property
    def images(self) -> Path:
        """Folder of the photographs.

        COCO: images.cocodataset.org/zips/{train2014,val2014}.zip, unpacked here; Flickr:
        shannon.cs.illinois.edu/DenotationGraph (on request), all files in this folder.
        """
        return self.root / self.dataset / "images"

    @property
    def instances(self) -> Path:
        """images.cocodataset.org/annotations/annotations_trainval2014.zip."""
        return self.root / self.dataset / "annotations" / "instances_val2014.json"

    @property
    def captions(self) -> Path:
        """The same archive as ``instances``; says which images COCO val2014 has."""
        return self.root / self.dataset / "annotations" / "captions_val2014.json"

    @property
    def regions(self) -> Path:
        """homes.cs.washington.edu/~ranjay/visualgenome, region descriptions."""
        return self._visual_genome / "region_descriptions.json"

    @property
    def region_images(self) -> Path:
        """From the same page as ``regions``, image meta data."""
        return self._visual_genome / "image_data.json"

    @property
    def region_image_folders(self) -> tuple[Path, Path]:
        """cs.stanford.edu/people/rak248/VG_100K_2/{images,images2}.zip: two folders of images."""
        return self._visual_genome / "VG_100K", self._visual_genome / "VG_100K_2"

    @property
    def _visual_genome(self) -> Path:
        return self.visual_genome or self.root / "visual_genome"

    @property
    def word_vectors(self) -> Path:
        """Skip-Thought: www.cs.toronto.edu/~rkiros/models/{dictionary.txt,utable.npy}."""
        return self.root / "word_vectors"

    def existing(self, path: Path) -> Path:
        """Return one of the paths above.

        Raises:
            FileNotFoundError: if nothing is there; the message says what can be done.
        """
        if path.exists():
            return path
        raise FileNotFoundError(
            f"no such data: {path}. data/README.md says where to get it; --data-root or the "
            "environment variable DSVE_DATA names the folder that holds the data sets; "
            "--dataset toy (train.py: --preset toy) needs no download"
        )


def default_data_root() -> Path:
    """Return the environment variable ``DSVE_DATA``, or ``data`` without it."""
    return Path(os.environ.get("DSVE_DATA") or "data")


def evaluation_size(dataset: str, model_size: int) -> int:
    """Side in pixels to which a data set's images are squeezed; toy scenes keep their size."""
    return TOY_IMAGE_SIZE if dataset == "toy" else model_size


def one_cycle(progress: float) -> float:
    """Share of the highest rate: up linearly over the first fifth, then down along a cosine."""
    if progress < 0.2:
        return 0.04 + 0.96 * progress / 0.2
    return 0.5 * (1 + math.cos(math.pi * min(progress - 0.2, 0.8) / 0.8))


def cosine(progress: float) -> float:
    """Share of the highest rate: down along a cosine from the start."""
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


CYCLES = {"one-cycle": one_cycle, "cosine": cosine}


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How the model is trained. The defaults are the recipe of the published code.

    Everything that changes over time is a function of the epoch, counted from 0.
    """

    dataset: str = setting("coco", "data set: coco, flickr8k, flickr30k, captions or toy")
    captions: str = setting(
        "",
        "captions of your own, for --dataset captions: a .jsonl, .csv or .tsv file with an image "
        "and a caption column, COCO's captions or Karpathy's splits as .json, or 'folder' for .txt "
        "files beside the images",
    )
    images: str = setting("", "folder of their images; default: that of the file of captions")
    word_vectors: str = setting(
        "",
        "folder with dictionary.txt and utable.npy; 'glove': the built-in 50-d GloVe; "
        "default: word_vectors under the data root",
    )
    image_weights: str = setting(
        "imagenet",
        "what the image path starts from: imagenet (of torchvision or timm, downloaded once), "
        "none, package:efficientnet-lite0 (from pip, for timm/tf_efficientnet_lite0), or a file: a "
        "network's own, or pretrained_classif_152_2400.pth.tar",
    )
    seed: int = setting(0, "seed of weights, data order, augmentation and dropout")
    epochs: int = setting(60, "how many epochs to train", "-mepoch", "--max_epoch")
    batch_size: int = setting(
        160,
        "pairs in a batch of each process: N processes of torchrun train on N times as many a step",
        "-bs",
        "--batch_size",
    )
    chunk_size: int = setting(
        0,
        "if positive: embed so many pairs of a batch at a time, which memory must suffice for, at "
        "the cost of a second pass; the gradients are those of the whole batch, but for batch "
        "norms that train, which see chunks",
    )
    max_batches: int = setting(0, "if positive: train on so many batches an epoch, for a trial")
    learning_rate: float = setting(1e-3, "highest rate", "-lr", "--learning_rate")
    learning_rate_decrease: float = setting(
        0.5,
        "factor on the rate at each epoch from --first-decrease to --last-decrease",
        "-lrd",
        "--learning_rate_decrease",
    )
    first_decrease: int = setting(3, "first epoch at which the rate decreases")
    last_decrease: int = setting(7, "last of them; a single step if it is the first, too")
    cycle_epochs: int = setting(
        0, "if positive: the rate follows --cycle over so many epochs, instead of steps"
    )
    cycle: str = setting(
        "one-cycle",
        "one-cycle (up over the first fifth, then down along a cosine; Smith and Topin, 2018) or "
        "cosine (down along it from the first step; Loshchilov and Hutter, 2017)",
    )
    trunk_rate: float = setting(
        1.0,
        "factor on the rate for the ResNet or timm's network (discriminative rates; Howard and "
        "Ruder, 2018)",
    )
    text_rate: float = setting(1.0, "the same for the text path")
    weight_decay: float = setting(0.0, "decoupled weight decay (AdamW); 0 is plain Adam")
    clip_norm: float = setting(
        0.0, "if positive: longest gradient; longer ones are scaled down (Pascanu et al., 2013)"
    )
    ema: float = setting(
        0.0,
        "if positive: validate, and make the model of the checkpoints, an exponential moving "
        "average of the weights with this decay, such as 0.999; smaller in the first steps "
        "(Polyak and Juditsky, 1992)",
    )

    margin: float = setting(0.2, "margin of the triplet loss")
    num_negatives: int = setting(1, "hardest negatives that count for each item")
    warmup_epochs: int = setting(
        0, "epochs on a softmax loss over all negatives first; hardest ones collapse from scratch"
    )
    warmup_loss: str = setting(
        "softmax",
        "loss of the warm-up: softmax, or all (triplets with all negatives, Eq. 6, which VSE++, "
        "2018, compares with the hardest)",
    )
    captions_per_image: int = setting(
        1,
        "captions of an image that are drawn into a batch together; if more than 1, all are "
        "positives of the image in the softmax loss (Khosla et al., 2020)",
    )
    softmax_scale: float = setting(20.0, "factor on the similarities in the softmax loss")

    crop_size: int = setting(256, "side of the training crops in pixels")
    crop_min_scale: float = setting(0.08, "smallest share of the image's area in a crop")
    flip: bool = setting(True, "mirror every other training image")
    image_size: int = setting(350, "side of the validation images in pixels")
    cache_features: bool = setting(
        False,
        "keep the maps of the frozen trunk on disk, of whole images at --input-size and of their "
        "mirror images (float16, beside the runs), instead of computing them in each epoch",
    )
    caption_crops: float = setting(
        0.0,
        "share of the captions that training cuts to a run of their words, of any place and "
        "length, as images are cropped: phrases are short, captions are not (no source but our "
        "own benchmarks/recipe.md)",
    )
    word_dropout: float = setting(
        0.0, "share of a caption's words left out at random in training (VSE-infinity has 0.2)"
    )

    text_from: int = setting(2, "first epoch in which the text path trains")
    image_from: int = setting(
        9, "first epoch in which the 1x1 convolution and the ResNet train", "-fepoch", "--fepoch"
    )
    finetune_epoch: int = setting(
        0, "first epoch in which the ResNet or timm's network trains, if later than --image-from"
    )
    first_trained_stage: int = setting(
        3, "first stage of that network that ever trains; 0 trains the stem and all stages"
    )
    batch_norm: str = setting(
        "frozen",
        "batch norms of frozen layers: frozen, or train (the statistics drift, as in 2018)",
    )
    precision: str = setting("float32", "fp32, or bf16 for matrix products and convolutions")

    @property
    def thaw_epoch(self) -> int:
        """First epoch in which the trunk trains."""
        return max(self.image_from, self.finetune_epoch)

    def rate(self, epoch: float) -> float:
        """Learning rate at an epoch; fractions count in cycles only."""
        if self.cycle_epochs:
            return self.learning_rate * CYCLES[self.cycle](epoch / self.cycle_epochs)
        decreases = max(0, min(int(epoch), self.last_decrease) - self.first_decrease + 1)
        return self.learning_rate * self.learning_rate_decrease**decreases


PRESETS = {
    "paper": (ModelConfig(), TrainConfig()),
    "toy": (
        ModelConfig(
            backbone="resnet18",
            stages=3,
            embedding_dim=256,
            pool_k=12,
            image_dropout=0.0,
            word_dim=50,
            sru_layers=2,
            text_dropout=0.0,
            input_size=TOY_IMAGE_SIZE,
            localization_size=TOY_IMAGE_SIZE,
        ),
        TrainConfig(
            dataset="toy",
            word_vectors="glove",
            image_weights="none",
            epochs=4,
            batch_size=64,
            learning_rate=2e-3,
            cycle_epochs=4,
            weight_decay=0.01,
            warmup_epochs=3,
            crop_size=112,
            crop_min_scale=0.7,
            flip=False,
            image_size=TOY_IMAGE_SIZE,
            text_from=0,
            image_from=0,
            first_trained_stage=0,
            precision="bfloat16",
        ),
    ),
    "photos": (
        ModelConfig(
            backbone="timm/tf_efficientnet_lite0",
            embedding_dim=512,
            pool_k=40,
            text_pooling="max",
            image_dropout=0.3,
            word_dim=50,
            sru_layers=2,
            text_dropout=0.0,
            input_size=416,
            localization_size=416,
        ),
        TrainConfig(
            dataset="captions",
            word_vectors="glove",
            image_weights="package:efficientnet-lite0",
            cache_features=True,
            epochs=5,
            batch_size=128,
            learning_rate=1e-3,
            cycle_epochs=5,
            weight_decay=0.01,
            warmup_epochs=3,
            captions_per_image=5,
            crop_size=416,
            crop_min_scale=0.5,
            image_size=416,
            text_from=0,
            image_from=0,
            finetune_epoch=1000,
            precision="bfloat16",
        ),
    ),
}


def check_settings(config: TrainConfig) -> None:
    """Refuse settings that make no sense.

    Raises:
        ValueError: the message names the setting, its value and what is possible.
    """
    choices = {
        "dataset": DATASETS,
        "batch_norm": ("frozen", "train"),
        "warmup_loss": ("softmax", "all"),
        "cycle": tuple(CYCLES),
        "precision": PRECISIONS,
    }
    for name, possible in choices.items():
        fits = getattr(config, name) in possible
        _refuse_unless(fits, config, name, f"it is one of {', '.join(possible)}")
    above_0 = "epochs batch_size captions_per_image learning_rate crop_size image_size"
    for name in above_0.split():
        _refuse_unless(getattr(config, name) > 0, config, name, "it must be above 0")
    for name in ("chunk_size", "clip_norm", "trunk_rate", "text_rate"):
        _refuse_unless(getattr(config, name) >= 0, config, name, "it must not be below 0")
    for name in ("ema", "word_dropout"):  # an average that keeps all, captions that lose all words
        _refuse_unless(0 <= getattr(config, name) < 1, config, name, "it must be from 0 to below 1")
    _refuse_unless(
        0 <= config.caption_crops <= 1, config, "caption_crops", "it must be from 0 to 1"
    )
    if config.cache_features and not config.thaw_epoch:
        raise ValueError(
            "--cache-features: the network trains from the first epoch, so its maps change; "
            "--finetune-epoch freezes it until then"
        )
    if config.cycle_epochs and config.epochs > config.cycle_epochs:
        raise ValueError(
            f"--epochs {config.epochs}: the rate's cycle ends after {config.cycle_epochs} epochs; "
            "set --cycle-epochs too"
        )


def _refuse_unless(fits: bool, config: TrainConfig, name: str, wanted: str) -> None:
    if not fits:
        option, value = name.replace("_", "-"), getattr(config, name)
        raise ValueError(f"--{option} {value}: {wanted}")
