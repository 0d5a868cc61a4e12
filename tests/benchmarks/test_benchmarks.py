import dataclasses
import json

import pytest

from benchmarks import memory
from benchmarks.agreement import close
from benchmarks.sides import Side, interleave, measure
from benchmarks.table import HEADER, Row, format_table, read_rows

needs_proc = pytest.mark.skipif(not memory.STATUS.exists(), reason="needs Linux's /proc")


def constant(value):
    return lambda: value


def ending():
    raise SystemExit


def test_sides_take_turns_and_the_median_of_each_counts():
    asked, answers = [], {"ours": iter([1.0, 9.0, 2.0]), "naive": iter([5.0, 4.0, 6.0])}

    def question(name):
        def ask():
            asked.append(name)
            return next(answers[name])

        return ask

    medians = interleave({name: question(name) for name in answers}, rounds=3)
    assert asked == ["ours", "naive"] * 3
    assert medians == {"ours": 2.0, "naive": 5.0}


@needs_proc
def test_each_side_works_in_a_process_and_results_must_agree():
    sides = {
        name: Side(constant, {"value": [value]}) for name, value in (("ours", 1), ("naive", 2))
    }
    figures = measure(sides, rounds=1, agree=close(1))
    assert figures.results == {"ours": [1], "naive": [2]}
    assert all(seconds > 0 for seconds in figures.seconds.values())
    assert all(used.peak >= used.extra >= 0 for used in figures.memory.values())
    with pytest.raises(ValueError, match="differ by 1 > 0.5"):
        measure(sides, rounds=1, agree=close(0.5))


def test_a_side_that_ends_is_named():
    with pytest.raises(ChildProcessError, match="the process of naive ended"):
        sides = {"naive": Side(ending), "ours": Side(constant, {"value": 1})}
        measure(sides, rounds=1)


def test_ratios_of_rates_and_of_times_are_both_of_the_better_over_the_worse():
    assert Row("work", "images/s", ours=6.0, naive=2.0).ratio == 3.0
    assert Row("work", "s", ours=2.0, naive=6.0).ratio == 3.0
    assert Row("work", "s", ours=2.0).ratio is None


def test_a_row_says_by_how_much_it_falls_short():
    row = Row(
        "work",
        "s",
        2.0,
        5.0,
        0.6,
        extra_memory=(30.0, 100.0),
        min_ratio=2.5,
        min_share=0.8,
        max_ours=1.0,
        max_extra=0.6,
    )
    missed = dict(row.limits())
    assert missed["≥ 2.5 ×"] == 0
    assert missed["≥ 80% of peak"] == pytest.approx(0.25)
    assert missed["≤ 1 s"] == pytest.approx(1.0)
    assert missed["≤ 60% of extra memory"] == 0


def test_the_table_has_a_line_a_row_a_cell_a_column_and_equal_widths():
    rows = [
        Row("one", "s", 1.5, max_ours=1.0),
        Row("another", "images/s", 5.0, 2.5, 0.81, (900.0, 1234.0), (10.0, 20.0), min_ratio=1.8),
    ]
    lines = format_table(rows).splitlines()
    assert len(lines) == 2 + len(rows)
    assert {line.count("|") for line in lines} == {len(HEADER) + 1}
    assert len({len(line) for line in lines}) == 1
    assert "≤ 1 s (short by 50%)" in lines[2]
    assert "| 2 ×" in lines[3]
    assert "900 (+10) / 1,234 (+20)" in lines[3]


def test_rows_are_read_as_they_were_written(tmp_path):
    row = Row("work", "images/s", 5.0, 2.5, min_ratio=1.8)
    (tmp_path / "rows.json").write_text(json.dumps([dataclasses.asdict(row)]))
    assert format_table(read_rows(tmp_path / "rows.json")) == format_table([row])
