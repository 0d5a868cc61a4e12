from typing import Any

import pytest
import torch

from misc.runtime.device import autocast, use_exact_products, use_fast_products
from misc.runtime.device import select_device as select


def test_auto_finds_a_device_and_says_so(caplog):
    with caplog.at_level("INFO"):
        device = select("auto")
    assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert f"device: {device.type}" in caplog.text


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "nonsense:0"])
def test_a_device_that_is_not_there_is_an_error_with_the_remedy(name):
    with pytest.raises(ValueError, match=f"--device {name} cannot be used here.*try auto"):
        select(name)


def test_each_process_of_torchrun_takes_the_gpu_of_its_number(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "99")
    with pytest.raises(ValueError, match="--device cuda:99 cannot be used here"):
        select("cuda")
    with pytest.raises(ValueError, match="--device cuda:1: under torchrun each process takes the"):
        select("cuda:1")
    assert select("cpu").type == "cpu"


def test_float32_on_a_gpu_is_not_rounded_to_tf32():
    before = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.fp32_precision
    try:
        torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.fp32_precision = "tf32"
        use_exact_products()
        assert torch.backends.cuda.matmul.fp32_precision == "ieee"
        assert torch.backends.cudnn.fp32_precision == "ieee"
    finally:
        torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.fp32_precision = before


def test_bfloat16_reaches_matrix_products_and_float32_leaves_them():
    for precision, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        with autocast(torch.device("cpu"), precision):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is dtype


def test_fast_products_are_used_only_if_they_are_accurate(monkeypatch):
    mkldnn: Any = torch.backends.mkldnn  # whose types lack it
    settings = mkldnn.matmul
    before = settings.fp32_precision
    try:
        use_fast_products()
        left, right = torch.randn(2, 300, 300)
        exact = left.double() @ right.double()
        assert (left @ right - exact).abs().max() < 1e-5 * exact.abs().max()
        product = torch.Tensor.__matmul__

        def rounded(a, b):
            exact = a.dtype == torch.double
            return product(a, b) if exact else product(a.bfloat16(), b.bfloat16()).float()

        monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
        use_fast_products()
        assert settings.fp32_precision == "none"
    finally:
        settings.fp32_precision = before
