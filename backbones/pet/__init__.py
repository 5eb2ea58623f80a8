"""PET, the Point Edge Transformer of arXiv 2305.19302."""

from backbones.pet.network import PET

__all__ = ["PET"]
