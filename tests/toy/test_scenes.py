import itertools

import numpy as np

from misc.toy import scenes as toy_scenes
from misc.toy.grammar import (
    GROUNDS,
    kinds,
)
from tests.toy.scenes import scenes


def test_pixels_before_jpeg_depend_on_the_generator_alone():
    for (first, *_), (second, *_) in zip(scenes(3), scenes(3), strict=True):
        assert first.tobytes() == second.tobytes()


def test_every_emoji_has_a_picture_in_colour_and_no_two_are_the_same():
    glyphs = toy_scenes.draw_glyphs(kinds())
    pixels = [np.asarray(glyph.resize((32, 32)), np.float32) for glyph in glyphs]
    for kind, glyph, small in zip(kinds(), glyphs, pixels, strict=True):
        opaque = np.asarray(glyph)[np.asarray(glyph)[..., 3] > 200][:, :3]
        assert min(glyph.size) > 10, kind
        # A font that is drawn without its colours gives one colour; a missing glyph is an outline.
        assert len(np.unique(opaque // 16, axis=0)) > 1, kind
        assert (small[..., 3] > 128).mean() > 0.15, kind
    for (a, first), (b, second) in itertools.combinations(zip(kinds(), pixels, strict=True), 2):
        assert np.abs(first - second).mean() > 10, (a.name, b.name)


def test_one_to_three_things_are_seen_in_full_on_eight_grounds():
    counts, grounds = [], set()
    for _, scene, labels in scenes(300):
        counts.append(len(scene.things))
        grounds.add(scene.ground)
        for label, (_, box) in enumerate(scene.things, start=1):
            assert 0.25 * toy_scenes.SIDE < max(box.width, box.height) <= 0.56 * toy_scenes.SIDE
            assert (labels == label).any()
    assert grounds == set(GROUNDS) == set(toy_scenes.COLORS)
    assert len(grounds) == 8
    shares = np.bincount(counts, minlength=4)[1:] / 300
    assert np.abs(shares - [0.4, 0.4, 0.2]).max() < 0.1
