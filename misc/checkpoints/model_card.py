"""The model card of a published folder: what the model is, how it was made, how good it is."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from models.joint_embedding import JointEmbedding

TEMPLATE = """---
{{ card_data }}
---

# {{ name }}

Images and sentences in one space of {{ model.embedding_dim }} dimensions, and for any phrase a heat
map of where it is in an image: a deep semantic-visual embedding with localisation, after
[Finding beans in burgers](https://arxiv.org/abs/1804.01720) (Engilberge, Chevallier, Pérez, Cord;
CVPR 2018). The image path is a {{ model.backbone }} with {{ model.image_pooling }} pooling,
the text path {{ model.sru_layers }} SRU layers over frozen vectors of words, or of the tokens of a
pretrained text encoder, of {{ model.word_dim }} dimensions.

## How to use it

In the repository of the code:

```python
from misc.embedder import Embedder

embedder = Embedder("{{ source }}")
images = embedder.embed_images(["photo.jpg"])  # unit rows
texts = embedder.embed_texts(["a dog in the snow"])
heat_map = embedder.localize("photo.jpg", ["a dog"])[0]
```

Every script takes it, too: `python eval_retrieval.py -p {{ source }}`. Images are squeezed to
{{ preprocessing.image_size }} x {{ preprocessing.image_size }} pixels and normalised by the mean
{{ preprocessing.mean }} and the standard deviation {{ preprocessing.standard_deviation }}. The word
vectors, or the pretrained text encoder in their place, are not part of the model:
`word_vectors="FOLDER"` names the folder that has them. `config.json` has their fingerprint, and
whoever uses others is warned.

## Training data

{% if training %}The data set `{{ training.dataset }}`; the word vectors
`{{ training.word_vectors or "word_vectors" }}`; the image path started from
`{{ training.image_weights }}`.
{%- else %}Not recorded in the checkpoint that this was made from.{% endif %}

## Recipe

| setting | value |
|---|---|
{% for setting, value in (model | items | list) + (training | items | list) -%}
| {{ setting }} | {{ value }} |
{% endfor %}
## Metrics
{% for result in results %}
{{ result.protocol }}:

| metric | value |
|---|---|
{% for metric, value in result.metrics.items() -%}
| {{ metric }} | {{ value }} |
{% endfor %}
{%- else %}
None were given.
{% endfor %}
## License

{{ license }}
"""


def read_results(path: Path) -> dict[str, Any]:
    """Read what ``--json`` of an evaluation wrote: its ``protocol`` and its numbers, ``metrics``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is something else; the message names it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no results at {path}; --json FILE of an evaluation writes them")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(results, dict) or not isinstance(results.get("protocol"), str):
        raise ValueError(
            f"{path} does not say by which protocol its numbers were measured; eval_retrieval.py, "
            "pointing_game.py and semantic_seg.py write such files with --json"
        )
    metrics = {
        name: f"{value:.4g}" if isinstance(value, float) else value
        for name, value in results.items()
        if isinstance(value, int | float)
    }
    return {"protocol": results["protocol"], "metrics": metrics}


def model_card(
    model: JointEmbedding, source: str, license: str, results: Sequence[Mapping[str, Any]]
) -> ModelCard:
    """Describe a model.

    Args:
        model: with what is known of it in ``model.about``.
        source: what ``-p`` takes to use it, a folder or ``hf://user/name``.
        license: of the weights, as the hub calls it.
        results: of evaluations, as ``read_results`` gives them.
    """
    data = ModelCardData(
        license=license,
        language="en",
        library_name="pytorch",
        pipeline_tag="feature-extraction",
        tags=["image-text-retrieval", "visual-grounding", "model_hub_mixin"],
    )
    card: ModelCard = ModelCard.from_template(
        data,
        template_str=TEMPLATE,
        name=source.rstrip("/").split("/")[-1],
        source=source,
        model=dataclasses.asdict(model.config),
        training=model.about["training"]["config"],
        preprocessing=model.about["preprocessing"],
        results=results,
    )
    return card
