import multiprocessing

import pytest

from misc.runtime.locks import locked


def hold(folder, entered, leave):
    with locked(folder):
        entered.set()
        leave.wait(30)


def test_a_folder_is_locked_for_others_until_its_program_ends(tmp_path):
    context = multiprocessing.get_context("fork")
    entered, leave = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "run", entered, leave))
    other.start()
    assert entered.wait(30)
    refused = pytest.raises(OSError, match=f"another program is at work in {tmp_path / 'run'}")
    with refused, locked(tmp_path / "run"):
        pass
    other.kill()  # the system opens the locks of the dead
    other.join()
    with locked(tmp_path / "run"), locked(tmp_path / "other"):
        pass


def test_whoever_waits_says_so_and_comes_in_afterwards(tmp_path, caplog):
    context = multiprocessing.get_context("fork")
    entered, leave = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, entered, leave))
    other.start()
    assert entered.wait(30)

    def let_go():
        leave.wait(0.2)
        leave.set()

    context.Process(target=let_go).start()
    with caplog.at_level("INFO"), locked(tmp_path, wait=True):
        assert leave.is_set()
    assert "waiting for another program that works in" in caplog.text
    other.join()
