"""Memory of processes, in MB, from Linux's /proc."""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident() -> float:
    return _status("VmRSS")


def peak() -> float:
    # Not resource.getrusage, whose peak of a process begins with that of its parent.
    return _status("VmHWM")


def reset_peak() -> None:
    CLEAR.write_text("5")


def _status(field: str) -> float:
    return int(re.search(rf"{field}:\s+(\d+) kB", STATUS.read_text())[1]) / 1024


class ScriptRun(NamedTuple):
    output: str
    peak: float  # of the script's process
    worker_peak: float  # of the largest process that it started
    seconds: float


def run_script(script: str, arguments: Sequence[object]) -> ScriptRun:
    """Run one of the scripts in a process of its own."""
    code = (
        f"import resource, sys, {script} as script\n"
        "from benchmarks import memory\n"
        "script.main(script.get_parser().parse_args(sys.argv[1:]))\n"
        "children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
        "print('peaks', memory.peak(), children / 1024)\n"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    start = time.perf_counter()
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds = time.perf_counter() - start
    peaks = re.search(r"peaks (\S+) (\S+)", output)
    return ScriptRun(output, float(peaks[1]), float(peaks[2]), seconds)
