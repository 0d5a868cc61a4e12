import sys

import pytest

from misc.cli import run
from misc.cli.options import script_parser
from misc.cli.scripts import LEFT_OUT


@pytest.fixture
def status_of(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["script"])

    def status(results):
        try:
            run(lambda args: results, script_parser("A script."))
        except SystemExit as end:
            return end.code
        return 0

    return status


@pytest.mark.parametrize("key", LEFT_OUT)
def test_results_of_fewer_than_were_asked_for_have_a_status_of_their_own(
    status_of, monkeypatch, key
):
    assert [status_of({"rsum": 5, key: some}) for some in (2, ["a.jpg"], [7])] == [3, 3, 3]
    assert status_of({key: 0}) == status_of({key: []}) == status_of({}) == status_of(None) == 0
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")  # which would start all over
    assert status_of({key: 2}) == 0
