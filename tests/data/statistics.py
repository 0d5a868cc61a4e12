from models.config import ModelConfig

STATISTICS = ModelConfig().image_statistics
