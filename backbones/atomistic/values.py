"""metatensor's maps of labeled blocks as plain tensors, in this library's conventions.

- A vector (component ``xyz``) is ``1o``, with n properties ``n x 1o``; a tensor (``xyz_1``, ...) is
  Cartesian, ``ij...``; a block without components holds scalars, ``0e``.
- A spherical block (component ``o3_mu``, m = -l ... l, keys ``o3_lambda`` and ``o3_sigma``) is the
  irrep l of parity ``o3_sigma * (-1)^l``. metatensor's harmonics have z as their axis, so that its
  l = 1 is (y, z, x); e3nn's have y, so that its l = 1 is (x, y, z). With the cyclic permutation
  P (x, y, z) = (z, x, y), Y_e3nn(r) = Y_metatensor(P r), and so the change of basis is D^l(P) in
  either basis.

Scalars are taken to be even: what a model calls scalar without ``o3_sigma`` has no parity to read.
"""

import string
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from backbones.atomistic.systems import Places
from symmetrize import Output
from symmetrize.representation import wigner_d

# takes (x, y, z) to (z, x, y)
AXES = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)


def representation_of(name: str, values: Any) -> str:
    """How a TensorMap turns, read from its labels: ``"1o"``, ``"ij"``, ``"2x0e+2x2e"``.

    Raises:
        ValueError: if its labels say something else.
    """
    parts = []
    for key, block in zip(values.keys, values.blocks(), strict=True):
        number = len(block.properties)
        axes = [axis for component in block.components for axis in component.names]
        if not axes:
            parts.append(f"{number}x0e")
        elif axes == ["o3_mu"]:
            degree = int(key["o3_lambda"])
            sigma = int(key["o3_sigma"]) if "o3_sigma" in key.names else 1
            parts.append(f"{number}x{degree}{'e' if sigma * (-1) ** degree == 1 else 'o'}")
        elif axes == ["xyz"]:
            parts.append(f"{number}x1o")
        elif _is_cartesian(axes) and number == 1 and len(values) == 1:
            parts.append(string.ascii_lowercase[8 : 8 + len(axes)])
        else:
            raise ValueError(
                f"the output {name!r} has components {axes} and {number} properties in one of "
                f"{len(values)} blocks, which is neither scalars, vectors, spherical tensors, nor "
                "one Cartesian tensor: name the outputs to use, without it, in `outputs`"
            )
    return "+".join(parts)


def tensor_of(values: Any, output: Output, places: Places) -> Tensor:
    """A TensorMap as one row for each structure (or point); 0 where the model returned none."""
    columns = [
        _scattered(_columns(key, block), block.samples, output.per_point, places)
        for key, block in zip(values.keys, values.blocks(), strict=True)
    ]
    return torch.cat(columns, 1).reshape(-1, *output.representation.value_shape)


def _columns(key: Any, block: Any) -> Tensor:
    """(samples, properties x components) of one block, components in this library's basis."""
    axes: Sequence[str] = [axis for component in block.components for axis in component.names]
    values = block.values
    if axes == ["o3_mu"]:
        change = _change_of_basis(int(key["o3_lambda"])).to(values)
        values = torch.einsum("mn,snp->smp", change, values)
    return values.movedim(-1, 1).flatten(1)


def _scattered(rows: Tensor, samples: Any, per_point: bool, places: Places) -> Tensor:
    """Each row at the place of its structure (or point)."""
    number = len(places.order) if per_point else places.size
    labels = samples.values.long()
    system = labels[:, samples.names.index("system")]
    if per_point:
        place = places.points(system, labels[:, samples.names.index("atom")])
    else:
        place = places.structure[system]
    # zero stays for structures without atoms, and for atoms that were not selected
    return rows.new_zeros(number, rows.size(1)).index_copy(0, place, rows)


def _is_cartesian(axes: Sequence[str]) -> bool:
    return all(axis.startswith("xyz") for axis in axes)


@cache
def _change_of_basis(degree: int) -> Tensor:
    return wigner_d(degree, AXES)[degree]
