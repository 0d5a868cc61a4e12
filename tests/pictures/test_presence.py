from misc.evaluation.presence import ABSENT
from misc.pictures.presence import FAINT, strength, titled


def test_what_is_probably_not_there_is_said_and_drawn_faint():
    assert titled("a dog", 97.4) == "a dog · 97 %"
    assert titled("a dog", 12.0) == "a dog · 12 %, probably not there"
    assert titled("a dog", ABSENT) == f"a dog · {ABSENT:.0f} %"
    assert (strength(97.4), strength(ABSENT), strength(12.0)) == (1, 1, FAINT)


def test_nothing_is_said_of_what_is_unknown():
    assert titled("a dog", float("nan")) == "a dog"
    assert strength(float("nan")) == 1
