import math

import pytest
import torch
import torch.nn.functional as F

from misc.data.region_images import RegionImage
from misc.evaluation.presence_results import asked_of_each, format_presence, presence_results

WORDS = ("a cat", "a dog", "a car", "snow")


def image_of(*phrases):
    boxes = torch.ones(len(phrases), 4)
    ids = tuple(range(len(phrases)))
    return RegionImage(1, None, (9, 9), ids, phrases, boxes, torch.arange(len(phrases)))


def embed(texts):
    """Each word has a direction of its own."""
    return torch.eye(len(WORDS))[[WORDS.index(text.lower()) for text in texts]]


def test_phrases_of_the_next_image_or_all_others_stand_for_what_is_not_there():
    images = [image_of("a cat", " "), image_of("a car", "A cat"), image_of("snow")]
    assert list(asked_of_each(images, all_phrases=False)) == [
        (["a cat"], ["a car"]),  # another photograph's cat is not taken for absent
        (["a car", "A cat"], ["snow"]),
        (["snow"], ["a cat"]),
    ]
    assert list(asked_of_each(images, all_phrases=True))[2] == (
        ["snow"],
        ["A cat", "a car", "a cat"],
    )


def test_embeddings_that_know_all_reach_the_whole_area_and_equal_ones_half():
    images = [image_of("a cat", "a dog"), image_of("a car"), image_of("snow")]
    knowing = torch.stack([embed(image.phrases).sum(dim=0) for image in images])
    for all_phrases, count in ((True, 8), (False, 1 + 1 + 2)):
        results = presence_results(images, knowing, embed, knowing, all_phrases)
        assert (results["phrases_there"], results["phrases_not_there"]) == (4, count)
        assert results["roc_area"] == results["roc_area/percentile"] == 1
    same = presence_results(images, torch.ones(3, 4), embed, knowing, all_phrases=True)
    assert same["roc_area"] == 0.5


def test_percentiles_help_where_texts_are_not_equally_near_to_all_images():
    images = [image_of("a cat"), image_of("a dog")]
    embeddings = torch.tensor([[0.3, 0.5, 0, 0], [0.2, 0.6, 0, 0]])  # all are near to the dog
    reference = torch.tensor([[0.25, 0.55, 0, 0]])
    results = presence_results(images, embeddings, embed, reference, all_phrases=True)
    assert results["roc_area"] == 3 / 4
    assert results["roc_area/percentile"] == 1
    assert (results["called_absent/there"], results["called_absent/not_there"]) == (0, 100)


def test_results_equal_a_twin_question_by_question():
    generator = torch.Generator().manual_seed(0)
    embeddings, reference = (
        F.normalize(torch.randn(count, 4, generator=generator), dim=1) for count in (6, 40)
    )
    images = [image_of(WORDS[number % 4], WORDS[(number + 1) % 4]) for number in range(6)]
    results = presence_results(images, embeddings, embed, reference, all_phrases=True)
    scores = []
    for image, embedding in zip(images, embeddings, strict=True):
        for word, direction in zip(WORDS, embed(WORDS), strict=True):
            similarity = embedding @ direction
            percent = sum(bool(other @ direction < similarity) for other in reference) / 0.4
            scores.append((float(similarity), percent, word in image.phrases))
    for column, name in enumerate(("roc_area", "roc_area/percentile")):
        wins = [
            (one[column] > other[column]) + (one[column] == other[column]) / 2
            for one in scores
            for other in scores
            if one[2] and not other[2]
        ]
        assert results[name] == pytest.approx(sum(wins) / len(wins))
    called = [percent < 80 for _, percent, there in scores if there]
    assert results["called_absent/there"] == pytest.approx(100 * sum(called) / len(called))


def test_without_images_of_reference_similarities_are_told_alone_and_nothing_is_no_number():
    images = [image_of("a cat"), image_of("a dog")]
    results = presence_results(images, embed(["a cat", "a dog"]), embed, None, all_phrases=True)
    assert set(results) == {"roc_area", "phrases_there", "phrases_not_there"}
    assert "the model keeps no images of reference" in format_presence(results)[-1]
    nothing = presence_results([], torch.empty(0, 4), embed, torch.eye(4), all_phrases=True)
    assert math.isnan(nothing["roc_area"]) and math.isnan(nothing["called_absent/there"])
    assert format_presence(nothing) == []
