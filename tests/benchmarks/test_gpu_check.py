import pytest

from benchmarks import gpu_check
from benchmarks.checks import Check, table
from misc.runtime import seeds


def check(*parts, monkeypatch):
    if parts:
        others = {"results", "gradients", "random_numbers", "training", "pinned"} - set(parts)
        for name in others:
            monkeypatch.setattr(gpu_check, name, lambda *a: [])
    arguments = gpu_check.get_parser().parse_args(["--device", "cpu", "--quick"])
    return gpu_check.check_and_exit(arguments)


def test_the_cpu_is_as_exact_as_itself_and_all_is_in_the_table(monkeypatch, capsys):
    check(monkeypatch=monkeypatch)
    printed = capsys.readouterr().out
    assert " NO" not in printed
    for name in ("heat maps, bfloat16", "HardNegativeLoss", "--chunk-size", "images/s", "waiting"):
        assert name in printed


def test_a_seed_that_does_not_reach_the_device_fails(monkeypatch, capsys):
    monkeypatch.setattr(seeds, "seed_generators", lambda *numbers: None)
    with pytest.raises(SystemExit) as end:
        check("random_numbers", monkeypatch=monkeypatch)
    assert end.value.code == 1
    assert " NO" in capsys.readouterr().out


def test_what_is_no_number_is_not_within_a_tolerance():
    checks = [Check("one", float("nan"), 1.0), Check("two", 0.5, 1.0), Check("three", 9, unit="GB")]
    assert [check.ok for check in checks] == [False, True, True]
    assert [line.split()[-1] for line in table(checks).splitlines()] == ["ok", "NO", "yes", "–"]
