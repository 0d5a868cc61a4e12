import itertools
import re

import numpy as np

from misc.toy import scenes as toy_scenes
from misc.toy.grammar import (
    GROUNDS,
    Box,
    arrangements,
    captions,
    kinds,
    places,
    regions,
    sizes,
    with_article,
)
from tests.toy.scenes import NOUNS, read, scenes


def test_kinds_have_different_names():
    names = [name for kind in kinds() for name in {kind.name, *kind.nouns}]
    assert len(kinds()) >= 70
    assert len(names) == len(set(names))


def test_arrangements_by_hand():
    dog, cat = Box(10, 50, 40, 40), Box(60, 54, 40, 40)
    assert set(arrangements(dog, cat, 128)) == {"to the left of", "left of", "next to", "beside"}
    assert set(arrangements(cat, dog, 128)) == {"to the right of", "right of", "next to", "beside"}
    assert arrangements(dog, Box(20, 5, 30, 30), 128) == ["below", "under"]
    assert arrangements(Box(20, 5, 30, 30), dog, 128) == ["above", "over"]
    assert arrangements(dog, Box(50, 92, 36, 36), 128) == []  # diagonal
    far = Box(0, 0, 20, 20), Box(100, 0, 20, 20)
    assert arrangements(*far, 128) == ["to the left of", "left of"]


def test_places_and_sizes_by_hand():
    assert places(Box(0, 0, 40, 40), 128) == ["on the left", "at the top", "in the top left corner"]
    assert places(Box(44, 44, 40, 40), 128) == ["in the middle"]
    assert places(Box(44, 80, 40, 40), 128) == ["at the bottom"]
    assert sizes(Box(0, 0, 40, 20), 128) == ["small", "little"]
    assert sizes(Box(0, 0, 30, 64), 128) == ["big", "large"]
    assert sizes(Box(0, 0, 54, 54), 128) == []


def test_articles():
    nouns = "owl", "hourglass", "unicorn", "ufo", "umbrella", "dog", "ice cream"
    articles = [with_article(noun).split()[0] for noun in nouns]
    assert articles == ["an", "an", "a", "a", "an", "a", "an"]


NOUN = "(" + "|".join(sorted(NOUNS, key=len, reverse=True)) + r")(?!\w)"


LINK = "(to the left of|left of|to the right of|right of|above|over|below|under|next to|beside)"


def is_true(first, link, second):
    """Twin of ``arrangements`` that looks at edges, not at centres."""
    if "left" in link or "right" in link:
        first, second = (first, second) if "left" in link else (second, first)
        return first.x < second.x and first.x + first.width < second.x + second.width
    if link in ("next to", "beside"):
        top = max(first.y, second.y)
        return top < min(first.y + first.height, second.y + second.height)
    first, second = (first, second) if link in ("above", "over") else (second, first)
    return first.y < second.y and first.y + first.height < second.y + second.height


def claims(text):
    for first, link, second, third in re.findall(f"{NOUN} {LINK} {NOUN}(?: and {NOUN})?", text):
        yield first, link, second
        if third:
            yield first, link, third


def test_what_captions_and_phrases_say_about_arrangements_is_true():
    said = []
    for number, (_, scene, _) in enumerate(scenes(400)):
        boxes = {kind.name: box for kind, box in scene.things}
        rng = np.random.default_rng(number)
        texts = captions(rng, scene) + [phrase for phrase, _ in regions(rng, scene)]
        for first, link, second in itertools.chain.from_iterable(map(claims, texts)):
            said.append(link)
            assert is_true(boxes[NOUNS[first]], link, boxes[NOUNS[second]]), (texts, boxes)
    assert len(said) > 300
    assert set(said) == {*LINK.strip("()").split("|")}


def test_what_captions_say_about_place_and_size_is_true():
    said = set()
    for number, (_, scene, _) in enumerate(scenes(300)):
        if len(scene.things) > 1:
            continue
        box = scene.things[0][1]
        x, y = (2 * center - toy_scenes.SIDE for center in box.center)  # 0 is the middle
        truth = {"left": x < 0, "right": x > 0, "top": y < 0, "bottom": y > 0}
        truth["middle"] = max(abs(x), abs(y)) < 0.2 * toy_scenes.SIDE
        longest = max(box.width, box.height)
        truth["small"] = truth["little"] = longest < 0.4 * toy_scenes.SIDE
        truth["big"] = truth["large"] = longest > 0.45 * toy_scenes.SIDE
        for caption in captions(np.random.default_rng(number), scene):
            words = truth.keys() & caption.split()
            assert all(truth[word] for word in words), (caption, box)
            said |= words
    assert said == truth.keys()


def test_five_different_captions_name_every_thing(folder):
    for image in read(folder, "coco/dataset.json")["images"]:
        texts = [sentence["raw"] for sentence in image["sentences"]]
        assert len(texts) == len(set(texts)) == 5
        named = [{NOUNS.get(noun) for noun in re.findall(NOUN, text)} for text in texts]
        if any(len(names) > 1 for names in named):
            assert all(names == named[0] for names in named), texts


def test_about_a_fifth_of_the_captions_names_the_ground(folder):
    images = read(folder, "coco/dataset.json")["images"]
    texts = [sentence["raw"] for image in images for sentence in image["sentences"]]
    phrases = tuple(itertools.chain(*GROUNDS.values()))
    assert 0.1 < np.mean([text.endswith(phrases) for text in texts]) < 0.3
