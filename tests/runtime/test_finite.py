import torch

from misc.runtime.failures import Failure
from misc.runtime.finite import apart_finite


def test_rows_with_one_odd_number_are_failures_by_place_and_name():
    rows = torch.zeros(4, 2, 3)
    rows[1, 1, 2], rows[3, 0, 0] = float("nan"), float("-inf")
    kept, failures = apart_finite(rows, [10, 20, 30, 40], ["a", "b", "c", "d"], "maps are")
    assert kept == [0, 2]
    assert failures == [
        Failure(20, "b", "b: its maps are not finite"),
        Failure(40, "d", "d: its maps are not finite"),
    ]
    assert apart_finite(rows[:0], [], []) == ([], [])
