from pathlib import Path

import pytest

from misc.toy.dataset import SceneCounts, ensure_toy

# A model and a training so small that an epoch takes about a second.
SMALL_MODEL = (
    "--backbone resnet18 --stages 2 --image-weights none --embedding-dim 16 --pool-k 2 "
    "--sru-layers 1 --text-dropout 0.1 --input-size 128 --localization-size 128"
)
SMALL_TRAINING = (
    f"--preset toy {SMALL_MODEL} --no-cache-features --trained-parts 0 "
    "--first-trained-stage 0 --trunk-rate 1 --images-per-batch 0 --crop-size 32 --image-size 32 "
    "--batch-size 16 --workers 0 "
    "--device cpu --precision float32 --epochs 4 --cycle-epochs 4 --warmup-epochs 3"
)


@pytest.fixture(scope="session")
def toy_root(tmp_path_factory) -> Path:
    """A data root with a miniature toy set: 24 training, 8 validation and 16 test scenes."""
    root = tmp_path_factory.mktemp("data")
    ensure_toy(root, counts=SceneCounts(train=24, val=8, test=16))
    return root


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real photographs and annotations, where the machine has them beside the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "real"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder
