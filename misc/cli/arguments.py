"""Arguments of options, parsed and checked."""

import argparse
from collections.abc import Callable, Collection

SHORT_NAMES = {"auto": "auto", "float32": "fp32", "bfloat16": "bf16"}  # of precisions


def precision_name(names: Collection[str]) -> Callable[[str], str]:
    """Make the parser of a precision, for argparse: a short name, or torch's name of the type.

    Args:
        names: of ``SHORT_NAMES``, those that are possible.
    """

    def parse(text: str) -> str:
        for name in names:
            if text in (name, SHORT_NAMES[name]):
                return name
        possible = ", ".join(SHORT_NAMES[name] for name in names)
        raise argparse.ArgumentTypeError(f"{text!r} is none of {possible}")

    return parse


def positive(text: str) -> int:
    """Parse a whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not above 0")
    return number


def not_negative(text: str) -> float:
    """Parse a finite number that is not below 0, for argparse."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{number} is not a number from 0 on")
    return number


def share(text: str) -> float:
    """Parse a number from 0 up to, but not including, 1, for argparse."""
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not from 0 up to 1")
    return number


def prompt(text: str) -> str:
    """Check a prompt, for argparse."""
    if "{name}" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} does not say where the {{name}} goes")
    return text
