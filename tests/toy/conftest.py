import pytest

from misc.toy import dataset as toy
from tests.toy.scenes import COUNTS


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    return toy.ensure_toy(tmp_path_factory.mktemp("data"), seed=3, counts=COUNTS)
