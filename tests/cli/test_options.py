import pytest

import eval_retrieval
import image_features_extraction
import localize
import pointing_game
import search
import semantic_seg
import text_features_extraction
import train

SAMPLED = [image_features_extraction, text_features_extraction]  # who can try a few items first
OTHERS = [eval_retrieval, pointing_game, semantic_seg, localize, search, train]


@pytest.mark.parametrize("script", [*SAMPLED, *OTHERS])
def test_auto_is_a_precision_only_where_a_sample_can_choose_it(script, capsys):
    parser = script.get_parser()
    needed = {localize: "-p m.pt -i a.jpg -t dog", train: ""}.get(script, "-p m.pt").split()
    for short, name in {"fp32": "float32", "bf16": "bfloat16", "float32": "float32"}.items():
        assert parser.parse_args([*needed, "--precision", short]).precision == name
    if script in SAMPLED:
        assert parser.parse_args(needed).precision == "auto"
        return
    with pytest.raises(SystemExit):
        parser.parse_args([*needed, "--precision", "auto"])
    assert "'auto' is none of fp32, bf16" in capsys.readouterr().err
