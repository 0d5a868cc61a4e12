import logging
import struct

import pytest

from misc.runtime.failures import SHOWN, Failure, apart, read_item, tell
from misc.runtime.files import FullDiskError


def raising(error):
    def read():
        raise error

    return read


def test_an_item_that_is_read_is_given_as_it_is():
    assert read_item(3, "a.jpg", lambda: "pixels") == "pixels"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (struct.error("unpack requires 2 bytes"), "a.jpg: unpack requires 2 bytes"),
        (KeyError("phrase"), "a.jpg: there is no 'phrase'"),
        (RuntimeError(), "a.jpg: RuntimeError"),
        (ValueError("cannot read image a.jpg: cut off"), "cannot read image a.jpg: cut off"),
    ],
)
def test_whatever_an_item_raises_is_its_failure(error, reason):
    assert read_item(3, "a.jpg", raising(error)) == Failure(3, "a.jpg", reason)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(2)])
def test_what_ends_the_program_is_no_failure_of_an_item(error):
    with pytest.raises(type(error)):
        read_item(0, "a.jpg", raising(error))


def test_items_in_are_items_used_and_items_named():
    failure = Failure(1, "b", "b: no")
    assert apart(["a", failure, "c"]) == (["a", "c"], [failure])


def test_many_failures_are_told_up_to_a_limit_and_counted_beyond(caplog):
    failures = [Failure(number, str(number), f"{number}: broken") for number in range(SHOWN + 5)]
    tell(failures, logging.getLogger("test"))
    assert len(caplog.messages) == SHOWN + 1
    assert caplog.messages[0] == "left out: 0: broken"
    assert caplog.messages[-1] == "left out: 5 more like these"


def test_a_full_disk_is_no_fault_of_one_item():
    with pytest.raises(FullDiskError, match="needs 9 MB"):
        read_item(3, "a.jpg", raising(FullDiskError("out/a.png needs 9 MB, and 0 MB are free")))
