"""Does search find things? Toy test scenes, asked for two things, and by words never learnt.

    python -m benchmarks.search_quality -p runs/toy/best.pt

Two things: every pair of things that are together in a test scene, called what the captions of
that scene call them, as in "a dog and a pizza"; found if both are in one of the first 5 images.
Captions name all things of their scene, so for a scene of three no caption names just two: these
scenes are also counted by themselves.

New words: no caption has them, but GloVe knows them. "there is a jet" is right if an airplane is in
one of the first 10 images. The list was chosen by sense, and never by what is found.
"""

import argparse
import itertools
import math
import re
from pathlib import Path

from misc.config import default_data_root
from misc.data.captions import read_captions
from misc.data.outlines import read_instances
from misc.data.paths import data_paths
from misc.embedder import Embedder
from misc.features.search import nearest
from misc.toy.grammar import FRAMES, GROUNDS, KINDS, kinds, with_article

PAIR_TOP, WORD_TOP = 5, 10
NEW_WORDS = {
    "jet": ["airplane"],
    "aircraft": ["airplane"],
    "automobile": ["red car", "blue car"],
    "bananas": ["banana"],
    "palace": ["castle"],
    "fortress": ["castle"],
    "hound": ["dog"],
    "cats": ["cat"],
    "stallion": ["horse"],
    "cattle": ["cow"],
    "hog": ["pig"],
    "hare": ["rabbit"],
    "chicken": ["rooster"],
    "hen": ["rooster"],
    "toad": ["frog"],
    "serpent": ["snake"],
    "lobster": ["crab"],
    "ape": ["monkey"],
    "wasp": ["bee"],
    "cheeseburger": ["hamburger"],
    "cookies": ["cookie"],
    "lemons": ["lemon"],
    "strawberries": ["strawberry"],
    "mushrooms": ["mushroom"],
    "bicycles": ["bicycle"],
    "chopper": ["helicopter"],
    "ship": ["boat"],
    "yacht": ["boat"],
    "armchair": ["chair"],
    "mug": ["cup"],
    "cottage": ["house"],
    "flames": ["fire"],
    "parasol": ["umbrella"],
    "tiara": ["crown"],
    "trousers": ["jeans"],
    "shoes": ["high heel"],
    "violin": ["guitar"],
    "saxophone": ["trumpet"],
    "drums": ["drum"],
    "phantom": ["ghost"],
    "skeleton": ["skull"],
    "queen": ["princess"],
    "cellphone": ["telephone"],
}


def check_new(words, captions, word_vectors) -> None:
    """Make sure that neither captions nor the grammar have the words, and that GloVe does."""
    grammar = f"{KINDS} {FRAMES} {GROUNDS}"
    known = set(re.findall(r"[a-z]+", f"{grammar} {' '.join(captions)}".lower()))
    assert not known & set(words), known & set(words)
    assert not any(found.unknown for found in word_vectors.vectors_of(words))


def called(kind, captions) -> str:
    """Find the noun by which the captions of a scene call a thing."""
    return next(noun for noun in kind.nouns if re.search(rf"\b{noun}\b", " ".join(captions)))


def two_things(scenes, things) -> dict[str, tuple[str, str]]:
    """Write a query for each pair of things that are together in a scene."""
    by_name = {kind.name: kind for kind in kinds()}
    queries = {}
    for scene in scenes:
        for pair in itertools.combinations(sorted(things[scene.image_id]), 2):
            nouns = (called(by_name[name], scene.captions) for name in pair)
            queries[" and ".join(map(with_article, nouns))] = pair
    return queries


def chance(wanted: int, total: int, top: int) -> float:
    """Compute how probable one of the wanted is among so many that are drawn blindly."""
    return 1 - math.comb(total - wanted, top) / math.comb(total, top)


def report_pairs(scenes, things, found_things, search):
    print(f"two things in one of the first {PAIR_TOP} of {len(scenes)} test scenes")
    for counts in ((2, 3), (2,), (3,)):
        chosen = [scene for scene in scenes if len(things[scene.image_id]) in counts]
        pairs = two_things(chosen, things)
        hits = [
            any(set(pair) <= found_things[row] for row in rows)
            for pair, rows in zip(pairs.values(), search(pairs, PAIR_TOP), strict=True)
        ]
        share = f"{100 * sum(hits) / len(hits):.1f} % of {len(hits)} queries"
        print(f"  from scenes of {' or '.join(map(str, counts))} things: {share}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-p", "--path", type=Path, default=Path("runs/toy/best.pt"))
    parser.add_argument("--data-root", type=Path, default=default_data_root())
    args = parser.parse_args()
    paths = data_paths(args.data_root, "toy")
    scenes = read_captions(paths, ["test"])
    instances, categories = read_instances(paths)
    things = {one.image_id: {categories[place] for place, _ in one.instances} for one in instances}
    found_things = [things[scene.image_id] for scene in scenes]
    embedder = Embedder(args.path, data_root=args.data_root)
    images = embedder.embed_images([scene.path for scene in scenes])

    def search(queries, top):
        return nearest(embedder.embed_texts(list(queries)), images, top)[1].tolist()

    report_pairs(scenes, things, found_things, search)
    everything = read_captions(paths, ["train", "val", "test"])
    captions = [caption for scene in everything for caption in scene.captions]
    check_new(NEW_WORDS, captions, embedder.word_vectors)
    queries = [f"there is {with_article(word)}" for word in NEW_WORDS]
    chances, missed = [], []
    for (word, names), rows in zip(NEW_WORDS.items(), search(queries, WORD_TOP), strict=True):
        right = [bool(set(names) & shown) for shown in found_things]
        chances.append(chance(sum(right), len(right), WORD_TOP))
        if not any(right[row] for row in rows):
            missed.append(f"{word} ({' or '.join(names)})")
    found = len(NEW_WORDS) - len(missed)
    print(
        f"new words whose thing is in one of the first {WORD_TOP}: {found} of {len(NEW_WORDS)}, "
        f"{100 * found / len(NEW_WORDS):.1f} % (chance {100 * sum(chances) / len(chances):.1f} %)"
    )
    print(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
