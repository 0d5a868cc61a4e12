import os
import pickle
import time

import pytest

from misc.data.pickles import read_pickle
from tests.data.referring_files import REFS, write_refs


class Asking:
    def __init__(self, *asked):
        self.asked = asked

    def __reduce__(self):
        return self.asked


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5, "python 2"])
def test_plain_values_are_read_whatever_wrote_them(tmp_path, protocol):
    write_refs(tmp_path / "a.p", [*REFS, "é", -(2**70), 0.5, None, True], protocol)
    assert read_pickle(tmp_path / "a.p") == [*REFS, "é", -(2**70), 0.5, None, True]


def test_bytes_of_python_2_that_are_no_utf_8_are_kept_apart(tmp_path):
    (tmp_path / "a.p").write_bytes(b"\x80\x02U\x04caf\xe9.")
    assert read_pickle(tmp_path / "a.p") == "caf\udce9"


def refused(file):
    with pytest.raises(ValueError, match=r"download it again") as caught:
        read_pickle(file)
    text = str(caught.value)
    assert text.startswith(str(file))
    assert "\n" not in text
    assert len(text) < len(str(file)) + 200
    return text.removeprefix(str(file))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_asks_for_anything_is_refused_and_nothing_runs(tmp_path, protocol):
    file, made = tmp_path / "a.p", tmp_path / "made"
    for asked, name in (
        ((os.system, (f"touch {made}",)), "system"),
        ((eval, (f"open({str(made)!r}, 'w')",)), "eval"),
        ((set, ()), "set"),
    ):
        file.write_bytes(pickle.dumps([1, Asking(*asked)], protocol))
        text = refused(file)
        assert " is refused: it asks for '" in text
        assert f".{name}'" in text
    assert not made.exists()


HOSTILE = {
    "a class of Python 1": b"(iposix\nsystem\n.",
    "a number of copyreg": b"\x80\x02\x82\x01.",
    "a persistent id": b"Pabc\n.",
    "a call of a number": b"\x80\x02K\x01)R.",
    "an object of a text": b"(U\x01ao.",
    "a state of a list": b"\x80\x02]}U\x01aK\x01sb.",
    "more digits than a number has": b"I" + b"9" * 5000 + b"\n.",
    "no pickle": b'[{"ref_id": 1}]',
    "a web page": b"<html>\n<body>",
    "nothing": b"",
    "a text longer than the file": b"\x80\x04\x8d\xff\xff\xff\xff\xff\x00\x00\x00aa",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_pickle_of_plain_values_has_one_clear_line(tmp_path, content):
    (tmp_path / "a.p").write_bytes(content)
    refused(tmp_path / "a.p")


def test_a_file_that_is_cut_off_says_so_wherever_it_is(tmp_path):
    write_refs(tmp_path / "whole.p", REFS)
    content = (tmp_path / "whole.p").read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / "a.p").write_bytes(content[:length])
        assert " is cut off, or no pickle (" in refused(tmp_path / "a.p")


def test_a_file_that_claims_to_be_large_takes_no_memory(tmp_path):
    (tmp_path / "a.p").write_bytes(b"\x80\x02Nr\xff\xff\xff\x7f.")  # the value 2**31 - 1
    start = time.monotonic()
    assert read_pickle(tmp_path / "a.p") is None
    assert time.monotonic() - start < 1
