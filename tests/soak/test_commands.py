import argparse
import signal
import sys
import time
from types import SimpleNamespace

import pytest

from tests.soak import commands


@pytest.fixture
def outcome_of(monkeypatch, tmp_path):
    def outcome(main, **settings):
        script = SimpleNamespace(main=main, get_parser=argparse.ArgumentParser)
        monkeypatch.setitem(sys.modules, "script", script)
        return commands.execute("script", [], tmp_path / "log", **settings)

    return outcome


def raising(error):
    def main(args):
        raise error

    return main


def test_a_clear_error_is_no_violation_but_a_traceback_is(outcome_of):
    clear = outcome_of(raising(ValueError("no such thing")))
    assert (clear.status, clear.violations()) == (1, [])
    assert "no such thing" in clear.output
    assert outcome_of(raising(KeyError("odd"))).violations() == ["traceback: KeyError: 'odd'"]
    assert outcome_of(lambda args: {"left_out": 2}).status == 3
    assert outcome_of(lambda args: sys.exit(7)).violations() == ["exit status 7"]


def test_what_hangs_is_ended_and_what_is_killed_is_not_blamed(outcome_of, monkeypatch):
    monkeypatch.setattr(commands, "LIMIT", 0.2)
    assert outcome_of(lambda args: time.sleep(9)).violations() == ["hung for 0.2 seconds"]
    killed = outcome_of(lambda args: time.sleep(9), after=0.1, number=signal.SIGKILL)
    assert killed.status == -signal.SIGKILL
    assert killed.violations(killed=True) == []
    assert killed.violations() == ["exit status -9"]
