from models.config import ModelConfig

MINIATURE = ModelConfig(
    backbone="resnet18", stages=2, embedding_dim=16, pool_k=2, word_dim=50, sru_layers=1
)
