"""Commands run in a process of their own, with a limit of time, and what came of them."""

import contextlib
import dataclasses
import importlib
import os
import pkgutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch

from misc.cli import run

LIMIT = 120.0  # seconds, on a machine that has other work, too
STATUSES = {0, 1, 2, 3, *(128 + number for number in (signal.SIGINT, signal.SIGTERM))}


@dataclasses.dataclass
class Outcome:
    """How a command ended."""

    status: int  # -number if a signal ended it
    output: str  # stdout and stderr
    hung: bool = False

    def violations(self, killed: bool = False) -> list[str]:
        found = []
        if self.hung:
            found.append(f"hung for {LIMIT} seconds")
        elif self.status not in STATUSES and not (killed and self.status < 0):
            found.append(f"exit status {self.status}")
        if "Traceback" in self.output:
            last = self.output.strip().splitlines()[-1]
            found.append(f"traceback: {last}")
        return found


def import_everything() -> None:
    """Import all modules, so that a fork of this process starts at once."""
    torch.set_num_threads(1)
    import misc

    for module in pkgutil.walk_packages(misc.__path__, "misc."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def execute(
    script: str, options: Sequence[object], log: Path, after: float = 0, number: int = 0
) -> Outcome:
    """Run a script's main function in a fork; send it a signal after some seconds, if asked to."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        _be_the_command(script, list(map(str, options)), log)
    status = _wait(child, after) if number else None
    if status is None and number:
        os.kill(child, number)
    if status is None:
        status = _wait(child, LIMIT)
    hung = status is None
    if status is None:
        os.kill(child, signal.SIGKILL)
        _, raw = os.waitpid(child, 0)
        status = os.waitstatus_to_exitcode(raw)
    return Outcome(status, log.read_text(encoding="utf-8", errors="replace"), hung)


def _wait(child: int, seconds: float) -> int | None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, raw = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(raw)
        time.sleep(0.01)
    return None


def _be_the_command(script: str, options: list[str], log: Path) -> None:
    """Run the script as its file would, and leave, whatever happens."""
    status = 1
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = (  # which may have been others, as under pytest
            os.fdopen(number, "w", errors="backslashreplace", closefd=False) for number in (1, 2)
        )
        sys.argv = [script, *options]
        module = importlib.import_module(script)
        run(module.main, module.get_parser())
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            os.write(2, f"{end.code}\n".encode(errors="backslashreplace"))
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
