import time
from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu_check, gpu_evaluation, gpu_use
from benchmarks.checks import Check, table
from misc.runtime import seeds


def check(*parts, monkeypatch):
    if parts:
        others = {
            "results",
            "gradients",
            "random_numbers",
            "evaluation",
            "training",
            "pinned",
        } - set(parts)
        for name in others:
            monkeypatch.setattr(gpu_check, name, lambda *a: [])
    arguments = gpu_check.get_parser().parse_args(["--device", "cpu", "--quick"])
    return gpu_check.check_and_exit(arguments)


def test_the_cpu_is_as_exact_as_itself_and_all_is_in_the_table(monkeypatch, capsys):
    check(monkeypatch=monkeypatch)
    printed = capsys.readouterr().out
    assert " NO" not in printed
    for name in ("heat maps, bfloat16", "HardNegativeLoss", "--chunk-size", "not pinned"):
        assert name in printed
    for way in (
        "embedding 64², float32, channels last",
        "embedding 64², bfloat16, channels last",
        "training, float32",
    ):
        for figure in (
            "speed",
            "peak memory",
            "of the peak of matrix products",
            "waiting for images",
        ):
            assert f"{way}: {figure}" in printed


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


def test_waiting_and_speed_are_of_all_batches_but_the_first(monkeypatch):
    now, taken = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(gpu_use, "peak_flops", lambda device, precision: 100.0)

    def loader():
        for number in range(4):
            now[0] += 100 if number == 0 else 1
            yield SimpleNamespace(images=[0] * 8, number=number)

    def step(batch):
        taken.append(batch.number)
        now[0] += 50 if batch.number == 0 else 3

    found = gpu_use.use("it", step, loader(), torch.device("cpu"), "float32", flops=60)
    values = {check.name: check.value for check in found}
    assert taken == [0, 1, 2, 3]
    assert values["it: speed"] == 24 / 12
    assert values["it: waiting for images"] == 25
    assert values["it: of the peak of matrix products"] == pytest.approx(60 * 3 / 9)


def test_a_way_of_embedding_that_differs_from_the_first_fails(monkeypatch, capsys):
    true = gpu_evaluation.encoder

    def wrong(path, device, precision, channels_last):
        encode = true(path, device, precision, channels_last)
        return (lambda images: encode(images.flip(3))) if precision == "bfloat16" else encode

    monkeypatch.setattr(gpu_evaluation, "encoder", wrong)
    with pytest.raises(SystemExit):
        check("evaluation", monkeypatch=monkeypatch)
    lines = [line for line in capsys.readouterr().out.splitlines() if ": cosine" in line]
    assert [line.endswith("NO") for line in lines] == [False, True]


def test_planes_reach_a_network_whose_images_come_channels_last():
    seen = []
    network = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    gpu_use.use_planes(network)
    network.register_forward_hook(lambda module, images, result: seen.append(result))
    network(torch.zeros(2, 3, 8, 8).contiguous(memory_format=torch.channels_last))
    assert seen[0].is_contiguous()
