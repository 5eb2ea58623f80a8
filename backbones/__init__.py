"""Networks on point clouds to wrap, one a file. None of them is equivariant."""

from backbones.pointnet import PointNet

__all__ = ["PointNet"]
