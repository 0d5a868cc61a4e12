from misc.features.reading import load_embeddings
from misc.features.writing import save_embeddings

__all__ = ["load_embeddings", "save_embeddings"]
