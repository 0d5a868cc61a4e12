import itertools
import json

import pytest

from misc.data.json_files import stream_json


@pytest.mark.parametrize("number", [str(2**63), "-" + "9" * 40, "1e999", "-1e9999999"])
def test_a_number_too_large_for_a_machine_word_costs_no_other_entry(tmp_path, number):
    file = tmp_path / "a.json"
    before = [{"id": place, "x": [0.5, 2**63 - 1]} for place in range(5000)]  # many buffers
    file.write_text(f'[{json.dumps(before)[1:-1]}, {{"id": {number}}}, {{"id": 1.5}}, {{}}]')
    parts = list(stream_json(file, "item"))
    assert parts[:-3] == before
    assert [*map(type, itertools.chain(*(part.values() for part in parts[-2:])))] == [float]
    found = parts[-3]["id"]
    assert found == (float(number) if "e" in number else int(number))
    assert isinstance(found, float if "e" in number else int)


def test_a_file_that_is_cut_off_after_such_a_number_is_an_error_that_names_it(tmp_path):
    file = tmp_path / "a.json"
    file.write_text(f"[{{}}, {2**64}, ")
    parts = stream_json(file, "item")
    with pytest.raises(ValueError, match=r"a\.json is not valid JSON .* download it again"):
        list(parts)


def test_half_a_character_is_an_error_that_names_the_file(tmp_path):
    file = tmp_path / "a.json"
    file.write_text(r'[{"text": "\udce9"}]')
    with pytest.raises(ValueError, match=r"a\.json is not valid JSON .* download it again"):
        list(stream_json(file, "item"))
