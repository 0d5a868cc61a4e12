"""Rows of captions, and the columns or keys that they are read from."""

import dataclasses
from collections.abc import Sequence
from typing import Any

IMAGE_COLUMNS = (
    "image", "image_name", "filename", "file_name", "file", "path", "image_path", "filepath",
)  # fmt: skip
CAPTION_COLUMNS = ("caption", "text", "sentence", "comment", "captions", "raw", "title")


@dataclasses.dataclass(frozen=True)
class Row:
    """A caption and its image, as a file has them."""

    place: str  # where in the file, for messages
    image: str = ""
    caption: str = ""
    split: str = ""  # as written; "" if the file has none
    fault: str = ""  # why it cannot be used, where that is known


def columns(present: Sequence[str]) -> dict[str, str]:
    """Find the columns of the image, the caption and the split, whatever their case.

    Raises:
        ValueError: if one of the first two is not there.
    """
    lower = {name.strip().lower(): name for name in present if name}
    found = {}
    for what, accepted in (("image", IMAGE_COLUMNS), ("caption", CAPTION_COLUMNS)):
        names = [lower[name] for name in accepted if name in lower]
        if not names:
            raise ValueError(
                f"no column for the {what}: it has {', '.join(present) or 'none'}, and "
                f"one of {', '.join(accepted)} is needed"
            )
        found[what] = names[0]
    return found | ({"split": lower["split"]} if "split" in lower else {})


def rows_of(place: str, values: dict[str, Any], names: dict[str, str]) -> list[Row]:
    """Make a row of each caption.

    Args:
        place: where in the file, for messages.
        values: a caption or several, and their image, by the names of their columns.
        names: of the columns, as ``columns`` finds them.
    """
    image, captions = text_of(values.get(names["image"])), values.get(names["caption"])
    split = text_of(values.get(names.get("split", ""), ""))
    listed = captions if isinstance(captions, list) and captions else [captions]
    return [Row(place, image, text_of(caption), split) for caption in listed]


def text_of(value: object) -> str:
    """Read a text without the blanks around it; a number is one, and anything else is blank."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value).removesuffix(".0")  # the number of an image
    return value.strip() if isinstance(value, str) else ""
