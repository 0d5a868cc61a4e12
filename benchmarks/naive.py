"""The plain twins: each piece of work done the straightforward way, with our model's weights."""

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import nltk
import numpy as np
import torch
import torch.nn.functional as F
from nltk.tokenize import NLTKWordTokenizer
from nltk.tokenize.punkt import (
    PunktParameters,
    PunktSentenceTokenizer,
    load_punkt_params,
    save_punkt_params,
)
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from misc.data.captioned_images import CaptionedImage
from misc.words.token_vectors import TokenVectors, required
from models.joint_embedding import JointEmbedding

MEAN, STANDARD_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def package_sru(input_size: int, hidden_size: int, layers: int) -> nn.Module:
    """Build the sru package's; it compiles at its first use with ninja, and wants to see no GPU."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    warnings.simplefilter("ignore")  # it has many
    import sru

    return sru.SRU(
        input_size,
        hidden_size,
        layers,
        use_tanh=True,
        has_skip_term=True,
        rescale=False,
        v1=True,
    )


class NaiveImageEncoder(nn.Module):
    """The image path in eager float32: NCHW, batch norms of their own, pooling by a full sort."""

    def __init__(self, model: JointEmbedding) -> None:
        super().__init__()
        encoder = model.image_encoder
        self.trunk = encoder.trunk.to(memory_format=torch.contiguous_format)
        self.convolution = encoder.convolution.to(memory_format=torch.contiguous_format)
        self.projection = encoder.projection
        self.pool_k = model.config.pool_k

    def forward(self, images: Tensor) -> Tensor:
        maps = self.convolution(self.trunk(images))
        ordered = maps.flatten(2).sort(dim=2, descending=True).values
        highest, lowest = ordered[:, :, : self.pool_k], ordered[:, :, -self.pool_k :]
        return F.normalize(self.projection(highest.mean(dim=2) + lowest.mean(dim=2)), dim=1)


class NaiveTextEncoder(nn.Module):
    """The text path by the sru package, which computes the padding like words."""

    def __init__(self, model: JointEmbedding) -> None:
        super().__init__()
        config = model.config
        self.sru = package_sru(config.word_dim, config.embedding_dim, config.sru_layers)
        self.sru.load_state_dict(model.text_encoder.sru.state_dict())
        self.train(model.training)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        states, _ = self.sru(vectors.transpose(0, 1))  # (T, B, D)
        return F.normalize(states[lengths - 1, torch.arange(len(lengths))], dim=1)


def transform(size: int) -> transforms.Compose:
    return transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STANDARD_DEVIATION),
        ]
    )


def read_image(path: Path, size: int) -> Tensor:
    return transform(size)(Image.open(path).convert("RGB"))


class Pairs(Dataset):
    """An item for each caption: its image, read anew, and its words."""

    def __init__(
        self, images: Sequence[CaptionedImage], word_vectors: TokenVectors, size: int
    ) -> None:
        self.pairs = [(image.path, text) for image in images for text in image.captions]
        self.word_vectors = word_vectors
        self.size = size

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        path, text = self.pairs[index]
        (words,) = required(self.word_vectors.vectors_of([text]))
        return read_image(path, self.size), words.vectors


def pad(texts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(text) for text in texts])
    vectors = torch.zeros(len(texts), max(lengths), texts[0].shape[1])
    for row, text in enumerate(texts):
        vectors[row, : len(text)] = text
    return vectors, lengths


def pad_pairs(items: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    images, texts = zip(*items, strict=True)
    return torch.stack(images), *pad(texts)


def encode_texts(
    text_encoder: NaiveTextEncoder,
    texts: Sequence[str],
    word_vectors: TokenVectors,
    batch_size: int,
) -> Tensor:
    """Embed texts (N, D) in their order."""
    embeddings = []
    for start in range(0, len(texts), batch_size):
        found = required(word_vectors.vectors_of(texts[start : start + batch_size]))
        embeddings.append(text_encoder(*pad([text.vectors for text in found])))
    return torch.cat(embeddings)


def encode_pairs(
    image_encoder: NaiveImageEncoder,
    text_encoder: NaiveTextEncoder,
    images: Sequence[CaptionedImage],
    word_vectors: TokenVectors,
    size: int,
    batch_size: int,
    workers: int,
) -> tuple[Tensor, Tensor]:
    """Embed all pairs, each image as often as it has captions: two tensors (M, D)."""
    pairs = Pairs(images, word_vectors, size)
    image_embeddings, caption_embeddings = [], []
    for pixels, *texts in DataLoader(pairs, batch_size, num_workers=workers, collate_fn=pad_pairs):
        image_embeddings.append(image_encoder(pixels))
        caption_embeddings.append(text_encoder(*texts))
    return torch.cat(image_embeddings), torch.cat(caption_embeddings)


def retrieval_metrics(images: Tensor, captions: Tensor, caption_image: Tensor) -> list[float]:
    """Recall at 1, 5 and 10 and median rank, images to captions and back, by a full sort."""
    rows, metrics = torch.arange(len(images)), []
    for queries, items, ids, item_ids in (
        (images, captions, rows, caption_image),
        (captions, images, caption_image, rows),
    ):
        order = (queries @ items.T).argsort(dim=1, descending=True)
        ranks = 1 + (item_ids[order] == ids[:, None]).byte().argmax(dim=1).double()
        metrics += [(ranks <= k).double().mean().item() * 100 for k in (1, 5, 10)]
        metrics.append(ranks.quantile(0.5).item())
    return metrics


class Tokenizer:
    """Reads Punkt's parameters, which it writes to ``folder``, anew for each text."""

    def __init__(self, folder: Path) -> None:
        import punkt

        parameters, known = PunktParameters(), punkt.load_model("english")
        for name in ("abbrev_types", "collocations", "sent_starters"):
            setattr(parameters, name, set(getattr(known, name)))
        parameters.ortho_context.update(known.ortho_context)
        nltk.data.path.append(str(folder))  # NLTK reads from nowhere else
        save_punkt_params(parameters, str(folder / "english"))
        self.folder = nltk.data.FileSystemPathPointer(str(folder / "english"))

    def __call__(self, text: str) -> list[str]:
        sentences = PunktSentenceTokenizer(load_punkt_params(self.folder)).tokenize(text)
        return [word for sentence in sentences for word in NLTKWordTokenizer().tokenize(sentence)]


def load_word_vectors(folder: Path) -> tuple[dict[str, int], np.ndarray]:
    words = (folder / "dictionary.txt").read_text(encoding="utf-8").splitlines()
    return {word: row for row, word in enumerate(words)}, np.load(folder / "utable.npy")


def triplet_loss(images: Tensor, captions: Tensor, margin: float = 0.2) -> Tensor:
    """Sum the loss of the hardest negatives, found by a full sort (paper, Eq. 7)."""
    scores = images @ captions.T
    pairs = scores.diagonal()
    others = scores.masked_fill(torch.eye(len(scores), dtype=torch.bool), float("-inf"))
    hardest = others.sort(dim=1, descending=True).values[:, 0]
    loss = F.relu(margin + hardest - pairs).sum()
    hardest = others.sort(dim=0, descending=True).values[0]
    return loss + F.relu(margin + hardest - pairs).sum()
