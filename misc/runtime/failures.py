"""Items that could not be used: each has a name and a reason."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Failure:
    """An item that could not be read, by its place in the list that was asked for."""

    index: int
    name: str
    reason: str
