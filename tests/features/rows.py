"""Rows of embeddings to write, read and search."""

import torch
import torch.nn.functional as F

DIMENSION = 16
READ_AGAIN = [".npz", ".npy", ".parquet"]  # formats


def unit_rows(count, dimension=DIMENSION, seed=0):
    return F.normalize(
        torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed)), dim=1
    )
