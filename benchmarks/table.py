"""Rows of the table of benchmarks, and how they are printed."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.sides import Figures

HEADER = ("work", "unit", "ours", "naive", "ratio", "must reach", "share of peak", "peak MB")


@dataclasses.dataclass(frozen=True)
class Row:
    """One piece of work, what it took, and what it must reach; units that end in /s are rates."""

    work: str
    unit: str
    ours: float
    naive: float | None = None  # None where there is nothing to compare with
    share: float | None = None  # of the machine's peak, 0 to 1
    peak_memory: tuple[float, ...] = ()  # MB: ours and naive
    extra_memory: tuple[float, ...] = ()  # MB: of them, for the work itself
    min_ratio: float | None = None
    min_share: float | None = None
    max_ours: float | None = None  # in the unit
    max_extra: float | None = None  # ours as a share of the naive's extra memory

    @classmethod
    def rates(cls, work: str, unit: str, figures: Figures, items: int, **limits: Any) -> "Row":
        """Make a row of items per second."""
        ours, naive = (items / figures.seconds[name] for name in ("ours", "naive"))
        return cls(work, unit, ours, naive, **{**memories(figures), **limits})

    @classmethod
    def growth(cls, script: str, counts: Sequence[int], peaks: Sequence[float]) -> "Row":
        """Make a row of a script's peak MB with few images and with many; 5 % more are allowed."""
        work = f"memory of {script}, {counts[0]:,} → {counts[1]:,} images"
        return cls(work, "MB", peaks[1], max_ours=round(1.05 * peaks[0]))

    @property
    def ratio(self) -> float | None:
        """How many times as good as the naive twin."""
        if self.naive is None:
            return None
        return self.ours / self.naive if self.unit.endswith("/s") else self.naive / self.ours

    def limits(self) -> list[tuple[str, float]]:
        """Say what must be reached, and by which share each is missed; 0 if it is reached."""
        found = []
        if self.min_ratio and self.ratio:
            found.append((f"≥ {self.min_ratio:g} ×", 1 - self.ratio / self.min_ratio))
        if self.min_share and self.share:
            found.append((f"≥ {self.min_share:.0%} of peak", 1 - self.share / self.min_share))
        if self.max_ours:
            found.append((f"≤ {self.max_ours:g} {self.unit}", self.ours / self.max_ours - 1))
        if self.max_extra:
            ours, naive = self.extra_memory
            text = f"≤ {self.max_extra:.0%} of extra memory"
            found.append((text, ours / naive / self.max_extra - 1))
        return [(text, max(0.0, missed)) for text, missed in found]

    def cells(self) -> tuple[str, ...]:
        """Lay the row out, in the order of ``HEADER``."""
        limits = [
            text + (f" (short by {miss:.0%})" if miss else "") for text, miss in self.limits()
        ]
        memory = [
            f"{peak:,.0f} (+{extra:,.0f})"
            for peak, extra in zip(self.peak_memory, self.extra_memory, strict=True)
        ]
        return (
            self.work,
            self.unit,
            number(self.ours),
            number(self.naive),
            "–" if self.ratio is None else f"{self.ratio:.3g} ×",
            ", ".join(limits) or "–",
            "–" if self.share is None else f"{self.share:.0%}",
            " / ".join(memory) or "–",
        )


def memories(figures: Figures) -> dict[str, Any]:
    """Give the memory of ours and of the naive twin, as fields of a row."""
    both = [figures.memory[name] for name in ("ours", "naive")]
    return {
        "peak_memory": tuple(memory.peak for memory in both),
        "extra_memory": tuple(memory.extra for memory in both),
    }


def number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def format_table(rows: Sequence[Row]) -> str:
    """Lay rows out as a table of Markdown, aligned."""
    lines = [HEADER, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(texts)


def get_parser(doc: str, captions: bool = False) -> argparse.ArgumentParser:
    """Describe the command line of a row; ``captions``: where texts play a part."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="small models and sizes, to see that all works"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    if captions:
        parser.add_argument(
            "--captions",
            type=Path,
            metavar="FILE",
            help="a caption a line; default: made-up ones, as long as those of COCO",
        )
    return parser


def report(rows: Sequence[Row], args: argparse.Namespace) -> None:
    """Print rows, and write them if a file was named."""
    print(format_table(rows))
    if args.json:
        args.json.write_text(json.dumps([dataclasses.asdict(row) for row in rows]))


def read_rows(file: Path) -> list[Row]:
    return [Row(**fields) for fields in json.loads(file.read_text())]
