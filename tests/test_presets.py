from misc.presets import PRESETS
from misc.training.settings import check_settings


def test_presets_make_sense():
    for model_config, config in PRESETS.values():
        check_settings(config)
        assert model_config.word_dim in (50, 384, 620)
