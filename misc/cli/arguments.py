"""Arguments of options, parsed and checked."""

import argparse

SHORT_NAMES = {"auto": "auto", "float32": "fp32", "bfloat16": "bf16"}  # of precisions


def precision_name(text: str) -> str:
    """Parse a precision, for argparse: a short name, or torch's name of the type."""
    for name, short in SHORT_NAMES.items():
        if text in (name, short):
            return name
    raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(SHORT_NAMES.values())}")


def positive(text: str) -> int:
    """Parse a whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not above 0")
    return number


def share(text: str) -> float:
    """Parse a number from 0 up to, but not including, 1, for argparse."""
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not from 0 up to 1")
    return number
