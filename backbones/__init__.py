"""Networks on point clouds to wrap, one a file or folder. None of them is equivariant."""

from backbones.dgcnn import DGCNN, ClassicDGCNN
from backbones.pet import PET
from backbones.point_transformer import ClassicPointTransformer, PointTransformer
from backbones.pointnet import ClassicPointNet, PointNet
from backbones.pointnet2 import ClassicPointNetPlusPlus, PointNetPlusPlus

__all__ = [
    "DGCNN",
    "PET",
    "ClassicDGCNN",
    "ClassicPointNet",
    "ClassicPointNetPlusPlus",
    "ClassicPointTransformer",
    "PointNet",
    "PointNetPlusPlus",
    "PointTransformer",
]
