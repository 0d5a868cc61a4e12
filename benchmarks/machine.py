"""What the benchmarks ran on."""

import datetime
import importlib.metadata
import os
import platform
import re
from pathlib import Path

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "nltk", "sru")


def description() -> str:
    """Describe the machine and the versions, as Markdown."""
    cores = len(os.sched_getaffinity(0))
    (memory,) = re.findall(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    cpu = Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*: (.*)", cpu)
    flags = set(cpu.split()) & {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}
    processor = f"{name[1] if name else platform.machine()} ({', '.join(sorted(flags))})"
    versions = [f"{package} {importlib.metadata.version(package)}" for package in PACKAGES]
    return (
        f"{datetime.date.today()}: {cores} cores of {processor}, {int(memory) / 2**20:.0f} GB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"{', '.join(versions)}."
    )
