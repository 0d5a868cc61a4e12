"""Memory of processes, in MB, from Linux's /proc."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident() -> float:
    return _status("VmRSS")


def peak() -> float:
    # Not resource.getrusage, whose peak of a process begins with that of its parent.
    return _status("VmHWM")


def reset_peak() -> None:
    CLEAR.write_text("5")


def _status(field: str) -> float:
    (number,) = re.findall(rf"{field}:\s+(\d+) kB", STATUS.read_text())
    return int(number) / 1024


def run_script(script: str, arguments: Sequence[object]) -> tuple[str, float]:
    """Run one of the scripts in a process of its own: what it printed, and its peak memory."""
    code = (
        f"import sys, {script} as script\n"
        "from benchmarks import memory\n"
        "script.main(script.get_parser().parse_args(sys.argv[1:]))\n"
        "print('peak', memory.peak())\n"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return output, float(re.findall(r"peak (\S+)", output)[-1])
