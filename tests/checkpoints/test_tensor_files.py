import argparse
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from misc.checkpoints.checkpoint import load_model
from misc.words.word_vectors import WordVectors
from tests.checkpoints.files_of_2018 import published_content, save_published


class RunsCommand:
    """Leaves a marker if something unpickles it carelessly."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


class CallsEval(RunsCommand):
    def __reduce__(self):
        return eval, (f"open({str(self.marker)!r}, 'w')",)


class CallsPath(RunsCommand):
    """Calls a method of an object instead of a global function."""

    def __reduce__(self):
        return Path(self.marker).touch, ()


@pytest.mark.parametrize(
    ("hostile", "name"),
    [(RunsCommand, "posix.system"), (CallsEval, "builtins.eval"), (CallsPath, "getattr")],
)
@pytest.mark.parametrize("place", ["namespace", "namespace in namespace", "scalar", "plain pickle"])
@pytest.mark.parametrize("zipped", [True, False])
def test_files_that_try_to_run_code_are_refused(
    lively_model, tmp_path, hostile, name, place, zipped
):
    marker = tmp_path / "marker"
    attack = hostile(marker)
    if place == "plain pickle":
        path = tmp_path / "best_model.pth.tar"
        path.write_bytes(pickle.dumps({"state_dict": attack}, protocol=2))
    else:
        parts: dict[str, dict[str, object]] = {
            "namespace": {"args_dict": argparse.Namespace(sru=attack)},
            "namespace in namespace": {
                "args_dict": argparse.Namespace(a=argparse.Namespace(b=[attack]))
            },
            "scalar": {"best_rec": (np.float64(1), attack)},
        }
        content = published_content(lively_model, **parts[place])
        path = save_published(tmp_path / "best_model.pth.tar", content, zipped)
    with pytest.raises(ValueError, match=f"best_model.pth.tar is refused.*{name}.*nothing"):
        load_model(path)
    assert not marker.exists()


def test_a_table_of_word_vectors_that_tries_to_run_code_is_refused(tmp_path):
    (tmp_path / "dictionary.txt").write_text("UNK\n", encoding="utf-8")
    table = np.array([RunsCommand(tmp_path / "marker")], dtype=object)
    np.save(tmp_path / "utable.npy", table, allow_pickle=True)
    with pytest.raises(ValueError, match="cannot read the word vectors in .*Python objects"):
        WordVectors.load(tmp_path)
    assert not (tmp_path / "marker").exists()


def test_the_hostile_objects_would_leave_their_marker_in_a_careless_reader(tmp_path):
    for hostile in (RunsCommand, CallsEval, CallsPath):
        marker = tmp_path / hostile.__name__
        pickle.loads(pickle.dumps(hostile(marker)))
        assert marker.exists()


def test_what_is_allowed_for_2018_is_not_allowed_for_others_afterwards(lively_model, tmp_path):
    path = save_published(tmp_path / "a.pth.tar", published_content(lively_model))
    load_model(path)
    with pytest.raises(pickle.UnpicklingError, match="argparse.Namespace"):
        torch.load(path, weights_only=True)
