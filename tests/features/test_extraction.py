import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from misc.features.shards import verify
from tests.features.extraction import arguments, assert_same, extract

ROOT = Path(__file__).resolve().parents[2]


def start(processes, command):
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    launcher = launcher if processes > 1 else []
    return subprocess.Popen(
        [sys.executable, *launcher, "image_features_extraction.py", *command],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_at_work(process, folder, pause):
    """Kill a process and all it started, some time after it began to write."""
    before = set(folder.glob("*part-*"))
    while process.poll() is None:
        if set(folder.glob("*part-*")) - before:
            time.sleep(pause)
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    process.wait()


def test_an_extraction_killed_five_times_has_each_row_once(model, photos, undisturbed, tmp_path):
    folder, moments = tmp_path / "features", random.Random(int(time.time()))
    for processes in (1, 2, 1, 1, 1):
        command = arguments(model, photos, folder)
        kill_at_work(start(processes, command), folder, moments.uniform(0, 0.15))
        for file in sorted(folder.glob("part-*.parquet"))[3:]:
            file.unlink()  # so that there is something left to do
    extract(model, photos, folder)
    assert_same(folder, undisturbed)
    verify(folder)
    assert not list(folder.glob(".*"))
