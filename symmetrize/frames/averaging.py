"""Frame averaging: the principal axes of a cloud, with every choice of their signs.

A frame has its axes as columns: ``positions @ frame`` expresses row vectors in it.

Source: Puny et al., arXiv 2110.03336.
"""

import torch

from symmetrize.arrays.segments import segment_sum
from symmetrize.frames.base import Frames
from symmetrize.frames.ensemble import Ensemble, assemble
from symmetrize.groups import GROUPS, Group, has_reflections
from symmetrize.points.cloud import Vectors


class FrameAveraging(Frames):
    """Frames from principal axes, with equal weights.

    The axes are the eigenvectors of sum_k c_k r_k r_k^T, by ascending eigenvalue. For structures
    r_k are positions from the centroid and c_k = 1; for centers r_k are neighbors from the center
    and c_k fades out smoothly over the outer half of the cutoff.

    Group SO(3) with 4 frames, O(3) with 8; about an axis the principal axes of what is transverse
    to it, SO(2) with 2 frames, O(2) with 4. Exact only where the three eigenvalues differ.
    **Discontinuous** where two are equal, as in every cloud with an axis of threefold or higher
    symmetry and on the way between unequal ones: there the axes are whatever the eigensolver
    returns, the average is not equivariant, and derivatives through the axes are NaN or infinite,
    though the values stay finite. They are smooth (C-infinity) elsewhere. Clouds that are empty or
    a single point get the axes of the coordinates. A baseline; see ``HierarchicalFrames``.

    Source: Puny et al., arXiv 2110.03336.

    Args:
        cutoff: radius of the environment of a center, for scope "center".
    """

    is_exact = False  # where eigenvalues are equal
    groups = GROUPS

    def __init__(self, cutoff: float | None = None) -> None:
        self.cutoff = cutoff

    def of_clouds(self, cloud: Vectors, group: Group, degree: int) -> Ensemble:
        """The 2, 4 or 8 frames of each cloud; ``degree`` plays no role."""
        vectors = cloud.vectors
        if cloud.axis is not None:
            base = cloud.axis.frames
            vectors = (vectors[:, None] @ base[cloud.index][:, :, 1:])[:, 0]
        products = vectors[:, :, None] * vectors[:, None, :]
        products = cloud.fade[:, None, None] * products
        covariances = segment_sum(products, cloud.index, cloud.size)
        axes = torch.linalg.eigh(covariances).eigenvectors
        if cloud.axis is not None:
            axes = torch.cat([base[..., :1], base[..., 1:] @ axes], dim=-1)
        x, y = axes[..., 0], axes[..., 1]
        axes = torch.stack([x, y, torch.linalg.cross(x, y)], -1)

        both = vectors.new_tensor([1.0, -1.0])
        first = both if cloud.axis is None else both[:1]
        signs = torch.cartesian_prod(first, both, both)
        if not has_reflections(group):
            signs = signs[signs.prod(-1) > 0]
        rotations = (axes[:, None] * signs[:, None, :]).reshape(-1, 3, 3)
        if cloud.axis is not None:
            rotations = cloud.axis.placed(rotations)
        index = torch.arange(cloud.size, device=vectors.device).repeat_interleave(len(signs))
        return assemble(rotations, vectors.new_ones(len(rotations)), index, cloud.size)
