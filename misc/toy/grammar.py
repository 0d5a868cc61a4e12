"""What the emoji scenes show and what is said about them; drawing and files are in ``toy.py``."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Glyph and names of each kind of thing, by COCO's supercategories; the first name is the
# category's, the others are also used in captions. No two kinds look or are called alike.
KINDS = {
    "animal": """🐕 dog|puppy, 🐱 cat|kitten, 🐎 horse|pony, 🐄 cow, 🐖 pig, 🐘 elephant,
        🦒 giraffe, 🦓 zebra, 🐇 rabbit|bunny, 🐓 rooster, 🦆 duck, 🐧 penguin, 🦉 owl,
        🦩 flamingo, 🐢 turtle|tortoise, 🐍 snake, 🐸 frog, 🐋 whale, 🐙 octopus, 🦀 crab,
        🐌 snail, 🦋 butterfly, 🐝 bee, 🐞 ladybug, 🐼 panda, 🐅 tiger, 🦊 fox, 🐒 monkey,
        🐠 fish, 🦄 unicorn""",
    "food": """🍔 hamburger|burger, 🌭 hot dog, 🍕 pizza, 🍟 fries, 🍩 donut|doughnut,
        🍪 cookie|biscuit, 🎂 cake, 🧁 cupcake, 🍦 ice cream, 🍎 red apple, 🍏 green apple,
        🍌 banana, 🍊 orange, 🍋 lemon, 🍇 grapes, 🍉 watermelon, 🍓 strawberry, 🍒 cherries,
        🍍 pineapple, 🥕 carrot, 🥦 broccoli, 🍆 eggplant, 🍄 mushroom, 🥐 croissant, 🥨 pretzel,
        🧀 cheese, 🍳 fried egg, 🍿 popcorn, 🍫 chocolate, 🍭 lollipop""",
    "vehicle": """🚗 red car, 🚙 blue car, 🚕 taxi|cab, 🚍 bus|school bus, 🚑 ambulance,
        🚛 truck|lorry, 🚜 tractor, 🚲 bicycle|bike, 🏍 motorcycle|motorbike, ✈ airplane|plane,
        🚁 helicopter, 🚂 train|locomotive, 🚀 rocket, ⛵ boat|sailboat, 🛸 spaceship|ufo""",
    "furniture": """🪑 chair, 🛋 couch|sofa, 🛏 bed, 🚪 door, 🚽 toilet, 💡 light bulb,
        🕯 candle, 🪴 potted plant, 🏺 vase""",
    "electronic": """📺 tv|television, 💻 laptop|computer, ☎ telephone|phone, 📷 camera,
        ⌨ keyboard, 🤖 robot""",
    "indoor": """⏰ clock|alarm clock, 📕 red book, 📗 green book, 📘 blue book, 🔑 key,
        🔒 lock|padlock, ✂ scissors, ✏ pencil, 🎁 gift|present, 🧸 teddy bear,
        ☕ cup|teacup, 🍷 wine glass, 🍾 bottle, 📦 box|cardboard box, 💎 diamond""",
    "outdoor": """🌵 cactus, 🌲 pine tree, 🌴 palm tree|palm, 🌻 sunflower, 🌹 rose, 🏠 house,
        🏰 castle, ⛺ tent, 🚦 traffic light, 🛑 stop sign, ⛄ snowman, 🔥 fire, 🌈 rainbow,
        ☀ sun, 🌙 moon, ⭐ star, 🌍 globe, 🎃 pumpkin""",
    "accessory": """☂ umbrella, 👒 hat|straw hat, 👑 crown, 🕶 sunglasses, 👕 shirt, 👖 jeans,
        👠 high heel, 🎒 backpack|rucksack, 👜 handbag|purse, 🧳 suitcase""",
    "sports": """⚽ soccer ball, 🏀 basketball, 🏈 football, ⚾ baseball, 🏆 trophy, 🪁 kite,
        🎯 target|dartboard, 🎈 balloon""",
    "music": """🎸 guitar, 🎺 trumpet, 🥁 drum, 🎹 piano, 🔔 bell""",
    "person": """👻 ghost, 🤡 clown, 💀 skull, 👸 princess, 🎅 santa|santa claus, ❤ heart""",
}
# These have no singular, or one that nobody says; captions count them by a measure.
MEASURES = {
    "scissors": "pair",
    "sunglasses": "pair",
    "jeans": "pair",
    "grapes": "bunch",
    "cherries": "bunch",
    "fries": "box",
    "popcorn": "box",
    "broccoli": "piece",
    "cheese": "piece",
    "chocolate": "bar",
}
GROUNDS = {
    "grass": ("on the grass", "on a lawn"),
    "sand": ("on the sand", "on a beach"),
    "water": ("on the water", "on the sea"),
    "snow": ("in the snow", "on white snow"),
    "wood": ("on a wooden floor", "on wooden boards"),
    "brick": ("in front of a brick wall", "against a brick wall"),
    "sky": ("in the sky", "in front of a cloudy sky"),
    "carpet": ("on a carpet", "on a purple carpet"),
}
FRAMES = ("{}", "{}", "{}", "there is {}", "a picture of {}", "a photo of {}", "an image of {}")
GROUND_SHARE = 0.17  # a little more in effect, since captions without are more often the same
SMALL, BIG = 0.37, 0.47  # longest side of a thing as a share of the picture's


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of thing: the emoji that shows it, COCO's category names, nouns for captions."""

    glyph: str
    name: str
    supercategory: str
    nouns: tuple[str, ...]


class Box(NamedTuple):
    """Left, top, width and height in pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def center(self) -> tuple[float, float]:
        """Middle of the box (x, y) in pixels."""
        return self.x + self.width / 2, self.y + self.height / 2

    def union(self, other: "Box") -> "Box":
        """Return the smallest box around both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        right = max(self.x + self.width, other.x + other.width)
        bottom = max(self.y + self.height, other.y + other.height)
        return Box(x, y, right - x, bottom - y)


@dataclasses.dataclass(frozen=True)
class Scene:
    """What is to be seen: things with the boxes of their visible parts, on a ground."""

    side: int
    ground: str
    things: tuple[tuple[Kind, Box], ...]


def kinds() -> list[Kind]:
    """Return all kinds of things, in the order of their category ids."""
    found = []
    for supercategory, entries in KINDS.items():
        for entry in entries.split(","):
            glyph, names = entry.strip().split(" ", 1)
            name, *others = names.split("|")
            noun = f"{MEASURES[name]} of {name}" if name in MEASURES else name
            found.append(Kind(glyph, name, supercategory, (noun, *others)))
    return found


def pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    """Draw one of the options."""
    return options[int(rng.integers(len(options)))]


def with_article(noun: str) -> str:
    """Put 'a' or 'an' before a noun; its first letter tells, but for a few words."""
    an = noun[0] in "aeiou" and not noun.startswith(("uni", "ufo")) or noun.startswith("hour")
    return f"{'an' if an else 'a'} {noun}"


def arrangements(first: Box, second: Box, side: int) -> list[str]:
    """Return the prepositions that are true of 'first … second' in a picture of this side."""
    (x1, y1), (x2, y2) = first.center, second.center
    across, down = abs(x2 - x1), abs(y2 - y1)
    if max(across, down) < 0.2 * side or max(across, down) < 1.25 * min(across, down):
        return []
    if down > across:
        return ["above", "over"] if y1 < y2 else ["below", "under"]
    found = ["to the left of", "left of"] if x1 < x2 else ["to the right of", "right of"]
    gap = across - (first.width + second.width) / 2
    level = down < 0.25 * (first.height + second.height)
    return [*found, "next to", "beside"] if level and gap < 0.3 * side else found


def places(box: Box, side: int) -> list[str]:
    """Return the phrases that are true of a box's place in a picture of this side."""
    x, y = (coordinate / side for coordinate in box.center)
    across = "left" if x < 0.4 else "right" if x > 0.6 else ""
    down = "top" if y < 0.4 else "bottom" if y > 0.6 else ""
    found = [f"on the {across}"] * bool(across) + [f"at the {down}"] * bool(down)
    if across and down and max(min(x, 1 - x), min(y, 1 - y)) < 0.36:
        found.append(f"in the {down} {across} corner")
    if max(abs(x - 0.5), abs(y - 0.5)) < 0.07:
        found.append("in the middle")
    return found


def sizes(box: Box, side: int) -> list[str]:
    """Return the adjectives that are true of a box's size in a picture of this side."""
    share = max(box.width, box.height) / side
    return ["small", "little"] if share <= SMALL else ["big", "large"] if share >= BIG else []


def _noun(rng: np.random.Generator, kind: Kind) -> str:
    return kind.nouns[0] if rng.random() < 0.6 else pick(rng, kind.nouns)


def _one(rng: np.random.Generator, scene: Scene) -> str:
    kind, box = scene.things[0]
    adjective = pick(rng, ["", *sizes(box, scene.side)])
    place = pick(rng, ["", *places(box, scene.side)])
    return f"{with_article(f'{adjective} {_noun(rng, kind)}'.strip())} {place}".strip()


def _two(rng: np.random.Generator, scene: Scene) -> str:
    (kind, box), (other, other_box) = (scene.things[i] for i in rng.permutation(2))
    link = pick(rng, ["and", "with", *arrangements(box, other_box, scene.side)])
    return f"{with_article(_noun(rng, kind))} {link} {with_article(_noun(rng, other))}"


def _three(rng: np.random.Generator, scene: Scene) -> str:
    order = rng.permutation(3)
    boxes = [scene.things[i][1] for i in order]
    a, b, c = (with_article(_noun(rng, scene.things[i][0])) for i in order)
    of_b, of_c = (arrangements(boxes[0], box, scene.side) for box in boxes[1:])
    options = [f"{a}, {b} and {c}", f"{a} and {b} with {c}"]
    options += [f"{a} {link} {b}, with {c}" for link in of_b]
    options += [f"{a} {link} {b} and {c}" for link in of_b if link in of_c]
    return pick(rng, options)


def captions(rng: np.random.Generator, scene: Scene, count: int = 5) -> list[str]:
    """Write different captions that are true of a scene; each names all of its things."""
    found: list[str] = []
    while len(found) < count:
        what = (_one, _two, _three)[len(scene.things) - 1](rng, scene)
        where = f" {pick(rng, GROUNDS[scene.ground])}" if rng.random() < GROUND_SHARE else ""
        caption = pick(rng, FRAMES).format(what) + where
        if caption not in found:
            found.append(caption)
    return found


def regions(rng: np.random.Generator, scene: Scene) -> list[tuple[str, Box]]:
    """Write phrases for the things of a scene and for pairs of them, each with its box."""
    found = []
    for kind, box in scene.things:
        noun = _noun(rng, kind)
        found.append((with_article(noun), box))
        where = places(box, scene.side)
        if where:
            found.append((f"the {noun} {pick(rng, where)}", box))
    for (kind, box), (other, other_box) in zip(scene.things, scene.things[1:], strict=False):
        link = pick(rng, arrangements(box, other_box, scene.side) or ["and"])
        phrase = f"{with_article(_noun(rng, kind))} {link} {with_article(_noun(rng, other))}"
        found.append((phrase, box.union(other_box)))
    return found
