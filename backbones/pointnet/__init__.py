"""PointNet: points one by one, pooled; smooth and as published."""

from backbones.pointnet.classic import ClassicPointNet
from backbones.pointnet.smooth import PointNet

__all__ = ["ClassicPointNet", "PointNet"]
