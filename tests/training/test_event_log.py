import errno
import os
import threading

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from tests.training.small_runs import run_train


@pytest.mark.parametrize(("method", "written"), [("write", 9), ("flush", 0)])
def test_a_full_disk_ends_the_log_in_one_line_and_not_the_training(
    toy_root, tmp_path, monkeypatch, caplog, method, written
):
    shown: list[object] = []
    monkeypatch.setattr(threading, "excepthook", shown.append)
    left, whole = iter(range(written)), getattr(RecordWriter, method)

    def write_while_there_is_space(writer, *data):
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(writer, *data)

    monkeypatch.setattr(RecordWriter, method, write_while_there_is_space)
    run_train(toy_root, tmp_path, "-n run --epochs 2")
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 2
    assert (tmp_path / "run" / "last.pt").exists()
    (told,) = [message for message in caplog.messages if "TensorBoard" in message]
    assert told.startswith("the log for TensorBoard ends here ([Errno 28] No space left on device)")
    assert shown == []


def test_other_threads_show_what_they_raise_and_the_log_holds_every_epoch(toy_root, tmp_path):
    show = threading.excepthook
    run_train(toy_root, tmp_path, "-n run --epochs 2")
    assert threading.excepthook is show
    log = EventAccumulator(str(tmp_path / "run"), size_guidance={"images": 0}).Reload()
    assert [event.step for event in log.Scalars("rsum")] == [0, 1]
    assert [event.step for event in log.Images("heat maps")] == [0, 1]
