"""Curves of a training run, from its log.jsonl."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RECALLS = ("R@1", "R@5", "R@10")
DIRECTIONS = {"t2i": "caption → image", "i2t": "image → caption"}
# Of Okabe and Ito: told apart by colour-blind readers, and in grey, too.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
MARKED_EPOCHS = 20  # with more of them, a dot for each would hide the lines


def read_log(run: Path) -> list[dict[str, float]]:
    """Read the record of each epoch of a run.

    Raises:
        FileNotFoundError: if there is no such run, or no epoch of it has ended.
        ValueError: if the log is empty, or a line of it is no record; the message names it.
    """
    file = run / "log.jsonl"
    if not file.is_file():
        raise FileNotFoundError(f"no {file}: train.py writes it when the first epoch has ended")
    needed = {"epoch", "loss", "learning_rate"}
    needed |= {f"{direction}/{recall}" for direction in DIRECTIONS for recall in RECALLS}
    records = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{file}, line {number} is not valid JSON: {error}") from error
        if not isinstance(record, dict) or not needed <= record.keys():
            raise ValueError(f"{file}, line {number} is not the record of an epoch: {line[:100]}")
        records.append(record)
    if not records:
        raise ValueError(f"{file} is empty: no epoch of the run has ended")
    return records


def _plot(
    axis: Axes, title: str, epochs: Sequence[float], lines: Mapping[str, tuple[str, Any]]
) -> None:
    """Plot lines, each a colour and a value an epoch by its name, into one panel of a figure."""
    style = "o-" if len(epochs) <= MARKED_EPOCHS else "-"
    for name, (color, values) in lines.items():
        axis.plot(epochs, values, style, color=color, markersize=4, label=name)
    axis.set_title(title)
    axis.set_xlabel("epoch")
    axis.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axis.set_ylim(bottom=0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


def draw_curves(records: Sequence[Mapping[str, float]], title: str) -> Image.Image:
    """Draw how a training went, over its epochs: loss, learning rate and recalls.

    Args:
        records: one an epoch, with the keys of ``log.jsonl``.
        title: of the picture.
    """

    def line(key: str, color: str) -> tuple[str, list[float]]:
        return color, [record[key] for record in records]

    epochs = [record["epoch"] for record in records]
    figure = Figure(figsize=(10, 6), dpi=120, layout="constrained")
    figure.suptitle(title)
    loss, rate, *recalls = figure.subplots(2, 2).flat
    _plot(loss, "training loss", epochs, {"loss": line("loss", BLUE)})
    _plot(rate, "learning rate", epochs, {"rate": line("learning_rate", BLUE)})
    for axis, (direction, name) in zip(recalls, DIRECTIONS.items(), strict=True):
        colors = zip(RECALLS, (BLUE, ORANGE, GREEN), strict=True)
        lines = {recall: line(f"{direction}/{recall}", color) for recall, color in colors}
        _plot(axis, f"recall in validation, {name}, percent", epochs, lines)
        axis.set_ylim(0, 103)
        axis.legend()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
