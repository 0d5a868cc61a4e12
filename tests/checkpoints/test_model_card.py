from huggingface_hub import ModelCard

from tests.checkpoints.published_folder import PROTOCOL


def test_the_card_has_recipe_protocol_metrics_and_license(folder):
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == "bsd-3-clause"
    assert "| sru_layers | 1 |" in card.text
    assert "| seed | 7 |" in card.text
    assert f"{PROTOCOL}:" in card.text
    assert "| i2t/R@1 | 12.35 |" in card.text
    assert "| images | 16 |" in card.text
    assert "images_left_out" not in card.text
    assert f'Embedder("{folder.name}")' in card.text
