import random

import pytest
from PIL import Image

from tests.features.extraction import extract, save_model

# The script, with a model that knows nothing.


@pytest.fixture(scope="package")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "model.pt")


@pytest.fixture(scope="package")
def photos(tmp_path_factory):
    """Forty-six images, one of which is broken: four parts of twelve, the last one shorter."""
    folder = tmp_path_factory.mktemp("photos")
    noise = random.Random(0)
    for number in range(46):
        picture = Image.frombytes("RGB", (48, 40), noise.randbytes(48 * 40 * 3))
        picture.save(folder / f"{number:02}.png")
    (folder / "17.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="package")
def undisturbed(model, photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "features"
    extract(model, photos, folder)
    return folder
