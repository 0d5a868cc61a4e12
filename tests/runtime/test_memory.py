import subprocess
import sys


def test_kept_memory_is_not_faulted_in_again():
    code = """
import resource, sys
if sys.argv[1] == "kept":
    from misc.runtime.memory import keep_freed_memory
    keep_freed_memory()
import torch
torch.set_num_threads(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(60):
    torch.ones(64 * 2**20 // 4)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {
        name: int(subprocess.check_output([sys.executable, "-c", code, name]))
        for name in ("kept", "given back")
    }
    assert faults["kept"] < faults["given back"] / 5 or "linux" not in sys.platform


def test_what_onednn_keeps_is_limited_unless_the_user_says_otherwise(monkeypatch):
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    code = f"""
import os
from misc.runtime.memory import keep_freed_memory
keep_freed_memory()
print(os.environ["{name}"])
"""
    monkeypatch.delenv(name, raising=False)
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "32\n"
    monkeypatch.setenv(name, "7")
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "7\n"
