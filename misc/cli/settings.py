"""The settings of training and of the model, as options."""

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any

from misc.cli.arguments import SHORT_NAMES, precision_name
from models.config import GROUPS


def add_settings(parser: argparse.ArgumentParser, *config_classes: type) -> None:
    """Add an option for each field of some dataclasses, by the groups of ``models.config``.

    Options not given are left out of ``args``. A field of no group is no option.
    """
    for title in GROUPS:
        group = parser.add_argument_group(title)
        for config_class in config_classes:
            for field in dataclasses.fields(config_class):
                if field.metadata.get("group") == title:
                    _add_setting(group, field)


def _add_setting(group: argparse._ArgumentGroup, field: dataclasses.Field[Any]) -> None:
    choices, within = field.metadata["choices"], field.metadata["within"]
    kind: dict[str, Any] = {"type": field.type, "metavar": "NAME"}
    if field.type is bool:
        kind = {"action": argparse.BooleanOptionalAction}
    elif field.name == "precision":
        names = [SHORT_NAMES[name] for name in choices]
        kind = {"type": precision_name(choices), "metavar": f"{{{','.join(names)}}}"}
    elif choices:
        kind = {"choices": choices}
    elif within:
        kind = {"type": _number(field), "metavar": "N" if field.type is int else "X"}
    about = [str(within)] if within else []
    about += [f"paper: {field.default}"] if field.default != "" else []
    group.add_argument(
        f"--{field.name.replace('_', '-')}",
        *field.metadata["flags"],
        dest=field.name,
        default=argparse.SUPPRESS,
        help=f"{field.metadata['help']} ({'; '.join(about)})" if about else field.metadata["help"],
        **kind,
    )


def _number(field: dataclasses.Field[Any]) -> Callable[[str], float]:
    """Make the parser of a number that must be in its field's range, for argparse."""

    def parse(text: str) -> float:
        number: float = int(text) if field.type is int else float(text)
        if number not in field.metadata["within"]:
            raise argparse.ArgumentTypeError(f"{text}: it must be {field.metadata['within']}")
        return number

    parse.__name__ = "int" if field.type is int else "float"  # for messages of argparse
    return parse


def given_settings(args: argparse.Namespace, config_class: type) -> dict[str, Any]:
    """Collect the fields of a dataclass that were set on the command line."""
    names = {field.name for field in dataclasses.fields(config_class)}
    return {name: value for name, value in vars(args).items() if name in names}
