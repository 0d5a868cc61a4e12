"""A tiny text encoder of random weights, in the format of transformers."""

import json

import pytest

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "dog", "run", "##s", "in", "the", "snow", "."]
LONGEST = 16  # tokens, with [CLS] and [SEP]


def save_encoder(folder, seed=0, **settings):
    """Save a BERT of 8 dimensions whose words are few; skips the test where there is no BERT."""
    transformers = pytest.importorskip("transformers", reason="requirements-text.txt")
    tokenizers = pytest.importorskip("tokenizers", reason="requirements-text.txt")
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    tokenizer = tokenizers.BertWordPieceTokenizer(str(folder / "vocab.txt"))
    tokenizer.enable_truncation(5)  # as files of sentence-transformers do; the model can do more
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(folder / "tokenizer.json"))
    said = {"model_max_length": LONGEST, "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said), encoding="utf-8")
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 16, "vocab_size": len(WORDS), "max_position_embeddings": 32}
    torch.manual_seed(seed)
    model = transformers.BertModel(transformers.BertConfig(**sizes, **settings))
    model.save_pretrained(folder)
    return folder
