"""Where the files of a data set lie under a data root, and the word vectors that go with it."""

import dataclasses
import logging
from pathlib import Path

import torch

from misc.config import default_data_root
from misc.data.photographs import Photographs
from misc.runtime.distributed import main_first
from misc.toy.dataset import ensure_toy
from misc.toy.glove import ensure_glove
from misc.words.encoder_files import is_encoder
from misc.words.pretrained_encoder import PretrainedEncoder
from misc.words.token_vectors import TokenVectors
from misc.words.word_vectors import WordVectors

# Of photographs, as data sets are unpacked; one may lie in another, as in images/val2014.
IMAGE_FOLDERS = (
    "images", "Images", "Flicker8k_Dataset", "flickr30k-images", "flickr30k_images",
    "train2014", "val2014", "train2017", "val2017",
)  # fmt: skip

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class DataPaths:
    """The files of one data set under a data root; edit them if yours lie elsewhere.

    data/README.md has the sizes and further sources of each.
    """

    root: Path
    dataset: str = "coco"
    visual_genome: Path | None = None  # its folder, if it is not under the root
    own_captions: str = ""  # of the data set "captions": see misc.data.own_captions
    own_images: str = ""  # the folder of its images, or of the photographs of another one

    @property
    def folder(self) -> Path:
        """Folder in which photographs are looked for: the data set's, or one that was given."""
        return Path(self.own_images) if self.own_images else self.root / self.dataset

    @property
    def split_file(self) -> Path:
        """Karpathy's split, cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip."""
        return self.root / self.dataset / "dataset.json"

    @property
    def images(self) -> Path:
        """Folder of the photographs, which may be in others, too: see ``photographs``.

        COCO: images.cocodataset.org/zips/{train2014,val2014,train2017,val2017}.zip, unpacked here;
        Flickr: shannon.cs.illinois.edu/DenotationGraph (on request).
        """
        return Path(self.own_images) if self.own_images else self.folder / "images"

    def photographs(self) -> Photographs:
        """Index the folders that may hold photographs of the data set, each when it is needed.

        Raises:
            FileNotFoundError: if the folder was given, and there is none.
        """
        if self.own_images and not self.folder.is_dir():
            raise FileNotFoundError(f"no such folder of images: {self.folder}")
        names = [Path(name, inner) for name in IMAGE_FOLDERS for inner in ("", *IMAGE_FOLDERS)]
        return Photographs([self.folder, *(self.folder / name for name in names)])

    @property
    def instances(self) -> Path:
        """images.cocodataset.org/annotations/annotations_trainval2014.zip."""
        return self.root / self.dataset / "annotations" / "instances_val2014.json"

    @property
    def instances_of_2017(self) -> tuple[Path, Path]:
        """The same in annotations_trainval2017.zip, of train2017 and val2017."""
        folder = self.root / self.dataset / "annotations"
        return folder / "instances_train2017.json", folder / "instances_val2017.json"

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
    def entities(self) -> Path:
        """github.com/BryanPlummer/flickr30k_entities: Annotations, Sentences, lists of splits."""
        return self.root / "flickr30k_entities"

    def referring(self, name: str) -> Path:
        """github.com/lichengunc/refer: the folder of one of its data sets, or that in its own."""
        places = [self.root / name, self.root / "refer" / name, self.root / "refer/data" / name]
        return next((place for place in places if place.is_dir()), places[0])

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


def data_paths(root: Path, dataset: str, captions: str = "", images: str = "") -> DataPaths:
    """Say where a data set's files are; the toy set, a data root of its own, is built if need be.

    Args:
        root: the data root.
        dataset: one of ``misc.config.DATASETS``.
        captions: of the data set "captions", as for ``misc.data.own_captions.read_caption_file``.
        images: the folder of its images.
    """
    if dataset == "toy":
        with main_first():
            return DataPaths(ensure_toy(root), "coco")
    return DataPaths(root, dataset, own_captions=captions, own_images=images)


def find_word_vectors(
    chosen: str,
    paths: DataPaths,
    recorded: str = "",
    dimension: int | None = None,
    fingerprint: str = "",
    device: torch.device | str = "cpu",
) -> TokenVectors:
    """Open the word vectors that a user chose, else those of training, else the data root's.

    Args:
        chosen: a folder of word vectors, "glove" for the built-in GloVe, or a pretrained text
            encoder, as ``misc.words.encoder_files`` finds it; "" if the user chose none.
        paths: of the data set at hand.
        recorded: what the model was trained with, as ``chosen``; "" if that is not known. A
            folder that is not on this machine is passed over; an encoder is not downloaded.
        dimension: W that the model needs; ``None`` takes any.
        fingerprint: that of the word vectors of training; others are used with a warning. "" if
            it is not known.
        device: where a text encoder runs.

    Raises:
        FileNotFoundError: if there are no word vectors.
        OSError: if a text encoder cannot be downloaded.
        ValueError: if they have another dimension than the model needs, or cannot be read.
    """
    known = recorded == "glove" or is_encoder(recorded) or (recorded and Path(recorded).exists())
    source = chosen or (recorded if known else "")
    word_vectors: TokenVectors
    if is_encoder(source):
        with main_first():  # one download
            word_vectors = PretrainedEncoder.load(source, device, online=bool(chosen))
    else:
        word_vectors = WordVectors.load(_word_folder(source, paths))
    _check_words(word_vectors, dimension, fingerprint)
    return word_vectors


def _word_folder(source: str, paths: DataPaths) -> Path:
    if source == "glove" and not (paths.root / "toy.json").exists():  # a toy root has its own
        with main_first():
            return ensure_glove(paths.root, default_data_root())
    return Path(source) if source not in ("", "glove") else paths.word_vectors


def _check_words(word_vectors: TokenVectors, dimension: int | None, fingerprint: str) -> None:
    folder = word_vectors.folder
    if dimension not in (None, word_vectors.dimension):
        raise ValueError(
            f"the model needs word vectors of {dimension} dimensions, and those in {folder} have "
            f"{word_vectors.dimension}; --word-vectors names others, and a new model is made for "
            f"these by --word-dim {word_vectors.dimension}"
        )
    if fingerprint and word_vectors.fingerprint() != fingerprint:
        logger.warning(
            "the word vectors in %s are not those that the model was trained with, so texts may "
            "mean nothing to it; --word-vectors names others",
            folder,
        )
