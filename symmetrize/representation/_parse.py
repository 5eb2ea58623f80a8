"""One entry for every way to name a representation."""

from e3nn import o3

from symmetrize.representation._base import Representation
from symmetrize.representation._cartesian import CartesianRepresentation
from symmetrize.representation._irreps import IrrepsRepresentation


def as_representation(spec: str | o3.Irreps | o3.Irrep | Representation) -> Representation:
    """Return the representation that ``spec`` names.

    Args:
        spec: irreps in e3nn's notation ("0e + 1o", "8x0e + 4x1o", or its own objects), or a
            Cartesian formula ("i" for a vector, "ij", "ij=ji", "ij=-ji", "ijk=jik=ikj"). A
            representation is returned unchanged.

    Raises:
        ValueError: if the text is neither, or names no values.
        TypeError: if ``spec`` is of another type.

    >>> as_representation("8x0e + 4x1o").dim
    20
    >>> as_representation("ij=ji").value_shape
    (3, 3)
    """
    if isinstance(spec, Representation):
        return spec
    if isinstance(spec, (o3.Irreps, o3.Irrep)):
        return IrrepsRepresentation(spec)
    if not isinstance(spec, str):
        raise TypeError(
            f"a representation cannot be made from {spec!r} of type {type(spec).__name__}: pass a "
            "string such as '0e + 1o' or 'ij=ji', e3nn irreps, or a Representation"
        )
    # every irrep has a digit, no Cartesian formula does
    if spec.strip() and not any(character.isdigit() for character in spec):
        return CartesianRepresentation(spec)
    try:
        irreps = o3.Irreps(spec)
    except ValueError as error:
        raise ValueError(
            f"the representation {spec!r} is not understood: write irreps such as '0e + 1o' or "
            "'8x0e + 4x1o', or a Cartesian formula such as 'ij=ji'"
        ) from error
    return IrrepsRepresentation(irreps)
