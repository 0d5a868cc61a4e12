"""Miniature sets of scenes, and what is in their files."""

import json

import numpy as np

from misc.toy import dataset as toy
from misc.toy import scenes as toy_scenes
from misc.toy.grammar import (
    kinds,
    with_article,
)

COUNTS = toy.SceneCounts(train=24, val=8, test=160)


def read(folder, name):
    return json.loads((folder / name).read_text())


def scenes(count, seed=0):
    things = kinds()
    glyphs = toy_scenes.draw_glyphs(things)
    for number in range(count):
        yield toy_scenes.draw_scene(np.random.default_rng([seed, number]), things, glyphs)


NOUNS = {with_article(noun): kind.name for kind in kinds() for noun in kind.nouns}
