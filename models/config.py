"""The settings of the model; importing them costs nothing, not even torch."""

import dataclasses
import math
from collections.abc import Collection
from typing import Any

# In which users find the settings.
DATA, SCHEDULE, LOSS = "data", "schedule and optimizer", "loss and joint space"
IMAGE_PATH, TEXT_PATH, SPEED = "image path", "text path", "speed"
GROUPS = (DATA, SCHEDULE, LOSS, IMAGE_PATH, TEXT_PATH, SPEED)


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, either of which may be excluded."""

    low: float
    high: float = math.inf
    without_low: bool = False
    without_high: bool = True

    def __contains__(self, number: float) -> bool:
        above = number > self.low if self.without_low else number >= self.low
        return above and (number < self.high if self.without_high else number <= self.high)

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"above {self.low}" if self.without_low else f"at least {self.low}"
        return f"from {self.low} to {'below ' if self.without_high else ''}{self.high}"


ABOVE_0 = Range(0, without_low=True)
AT_LEAST_0, AT_LEAST_1 = Range(0), Range(1)
SHARE = Range(0, 1, without_high=False)
BELOW_1 = Range(0, 1)  # a share that is never all


def setting(
    default: Any,  # noqa: ANN401
    help: str,
    *flags: str,
    group: str,
    choices: Collection[str] = (),
    within: Range | None = None,
) -> Any:  # noqa: ANN401
    """Declare a field with all that is to be known of it.

    Args:
        default: value.
        help: what it is, for users.
        flags: further names that users know it by.
        group: one of ``GROUPS``.
        choices: of a string, if not everything is possible.
        within: of a number, what is possible.
    """
    metadata = {
        "help": help, "flags": flags, "group": group, "choices": tuple(choices), "within": within,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """All that is needed to build the model; stored in every checkpoint as JSON.

    The defaults are those of the published weights.
    """

    backbone: str = setting(
        "resnet152",
        "network of the image path: resnet{18,34,50,101,152}, or timm/NAME for any model of timm "
        "with a spatial feature map",
        group=IMAGE_PATH,
    )
    stages: int = setting(
        4,
        "ResNet stages kept, 1 to 4; 3 gives maps twice as fine",
        group=IMAGE_PATH,
        within=Range(1, 4, without_high=False),
    )
    embedding_dim: int = setting(
        2400, "dimension of the joint space", "-de", "--dimemb", group=LOSS, within=AT_LEAST_1
    )
    pool_k: int = setting(
        15,
        "locations averaged by the pooling, at either end for weldon",
        group=IMAGE_PATH,
        within=AT_LEAST_1,
    )
    image_dropout: float = setting(
        0.5, "dropout of the pooled image features", group=IMAGE_PATH, within=BELOW_1
    )
    word_dim: int = setting(
        620,
        "dimension of the word vectors; must be that of the table",
        group=TEXT_PATH,
        within=AT_LEAST_1,
    )
    sru_layers: int = setting(
        4, "SRU layers of the text path", "-sru", "--sru", group=TEXT_PATH, within=AT_LEAST_1
    )
    text_dropout: float = setting(
        0.25, "dropout in the SRU layers", group=TEXT_PATH, within=BELOW_1
    )
    image_pooling: str = setting(
        "weldon",
        "of the activation maps: weldon (highest and lowest locations, as published), max (the "
        "highest alone) or gpo (all, by weights that are learned; VSE-infinity, 2021)",
        group=IMAGE_PATH,
        choices=("weldon", "max", "gpo"),
    )
    text_pooling: str = setting(
        "last",
        "of the states at the words: last (the state at the last word, as published), max (the "
        "highest of each component) or gpo (all, by weights that are learned; VSE-infinity)",
        group=TEXT_PATH,
        choices=("last", "max", "gpo"),
    )
    location_dropout: float = setting(
        0.0,
        "share of the locations left out at random in training, of which pooling takes fewer by as "
        "much (VSE-infinity, 2021, has 0.2); a half costs less, and learns as well",
        group=IMAGE_PATH,
        within=BELOW_1,
    )
    input_size: int = setting(
        400,
        "side of the square that images are squeezed to for retrieval, in pixels",
        group=IMAGE_PATH,
        within=AT_LEAST_1,
    )
    localization_size: int = setting(
        416,
        "the same for heat maps in the pointing game and in pictures, in pixels; from 1.5 times "
        "--input-size on, they are the mean of heat maps of both sizes",
        group=IMAGE_PATH,
        within=AT_LEAST_1,
    )
    localization_components: int = setting(
        180,
        "how many of a phrase's largest components count in heat maps of the pointing game and in "
        "pictures; all if there are fewer",
        group=IMAGE_PATH,
        within=AT_LEAST_1,
    )
    localization_affinity: float = setting(
        0.0,
        "these heat maps are shared among locations that look alike, which fills things and quiets "
        "the rest: factor on the cosines of their maps in a softmax; 0: not shared, as published",
        group=IMAGE_PATH,
        within=AT_LEAST_0,
    )
    # By which images are normalised, in R, G and B from 0 to 1; they follow from the weights that
    # training starts from, and are no options.
    image_mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    image_deviation: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        for name in ("image_mean", "image_deviation"):  # lists, if they were JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def heat_map_components(self) -> int:
        """How many of a text's components count in a heat map, unless told otherwise."""
        return min(self.localization_components, self.embedding_dim)

    @property
    def image_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation by which images are normalised."""
        return self.image_mean, self.image_deviation
