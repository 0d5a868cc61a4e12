"""Folders of models, here and on the Hugging Face hub."""

from pathlib import Path

from huggingface_hub import HfApi, ModelCard
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from misc.runtime.files import replacing_files
from misc.runtime.hub import HUB_ERRORS, reason_of
from models.joint_embedding import JointEmbedding

REFERENCE = "reference.safetensors"  # images and captions, where a model has them
# All that is read, so nothing else is downloaded.
FILES = ["config.json", "model.safetensors", REFERENCE]


def save_folder(
    folder: Path,
    model: JointEmbedding,
    card: ModelCard | None = None,
    reference: Tensor | None = None,
) -> None:
    """Write what ``model.save_pretrained`` does, each file once all of them are whole.

    Args:
        folder: where the files go, over those of the same names.
        model: what is written.
        card: the model card, ``README.md``; ``None`` is a short one.
        reference: (2, R, D), embeddings of images and captions of reference, if the model has
            them.

    Raises:
        FullDiskError: if there is no space for it; what was there before stays whole.
    """
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    with replacing_files(folder, size) as temporary:
        if card is not None:
            card.save(temporary / "README.md")
        try:
            model.save_pretrained(temporary)
            if reference is not None:
                save_file({"reference": reference}, temporary / REFERENCE)
        except SafetensorError as error:
            raise OSError(str(error)) from error
        for weights in temporary.glob("*.safetensors"):  # of which nobody else may read any
            weights.chmod((temporary / "config.json").stat().st_mode)
    if reference is None:
        (folder / REFERENCE).unlink(missing_ok=True)  # of another model


def push(folder: Path, name: str) -> str:
    """Upload a folder's model and card as ``user/name``, and give the address of the commit.

    Raises:
        OSError: if it cannot be uploaded.
        ValueError: if no model can be called so.
    """
    try:
        api = HfApi()
        api.create_repo(name, exist_ok=True)
        return api.upload_folder(
            repo_id=name, folder_path=folder, allow_patterns=[*FILES, "README.md"]
        )
    except HUB_ERRORS as error:
        raise OSError(f"{folder} cannot be pushed to {name}: {reason_of(error)}") from error
