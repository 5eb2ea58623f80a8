"""Laws of `symmetrize.representation`, each with an independent path and mutants that break it.

Each law takes the function under test, so that the same lines judge the library and its mutants.
"""

import itertools
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from inspect import unwrap

import numpy as np
import pytest
import torch
from e3nn import o3
from e3nn.io import CartesianTensor
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from symmetrize.representation import (
    LMAX,
    IrrepsRepresentation,
    Representation,
    as_representation,
    determinant_sign,
    wigner_d,
)
from symmetrize.representation._constants import Constant

DEGREES = 8
# both parities of every degree up to 4, in no particular order, some repeated
MIXED = "2x0e + 0o + 1o + 2x1e + 2e + 2o + 1o + 3x3o + 3e + 4e + 4o"
FORMULAS = ["i", "ij", "ij=ji", "ij=-ji", "ijk", "ijk=jik=ikj", "ijk=-jik=-ikj", "ijkl=jikl=klij"]
SPECS = ["0o", "1o", "1e", "0e + 1o + 2e", MIXED, *FORMULAS]

Wigner = Callable[[int, Tensor], Sequence[Tensor]]
PARITY = -torch.eye(3, dtype=torch.float64)


# --- rotations ------------------------------------------------------------------------------------


def from_quaternion(w: float, x: float, y: float, z: float) -> Tensor:
    return torch.from_numpy(Rotation.from_quat([x, y, z, w]).as_matrix())


def about(axis: Sequence[float], angle: float) -> Tensor:
    vector = np.asarray(axis) / np.linalg.norm(axis)
    return torch.from_numpy(Rotation.from_rotvec(angle * vector).as_matrix())


@st.composite
def proper_rotations(draw: st.DrawFn) -> Tensor:
    component = st.floats(-1, 1, allow_subnormal=False)
    quaternion = draw(
        st.tuples(*[component] * 4).filter(lambda q: math.hypot(*q) > 1e-3), label="quaternion"
    )
    return from_quaternion(*quaternion)


def rotations() -> st.SearchStrategy[Tensor]:
    sign = st.sampled_from([1.0, -1.0])
    return st.builds(lambda s, matrix: s * matrix, sign, proper_rotations())


def random_rotations(number: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Haar-distributed, every second one improper."""
    matrices = torch.from_numpy(Rotation.random(number, rng=seed).as_matrix())
    matrices[1::2] *= -1
    return matrices.to(dtype)


def random_values(representation: Representation, *lead: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*lead, *representation.value_shape, dtype=dtype, generator=generator)


GENERIC = from_quaternion(0.2, -0.5, 0.7, 0.4)
OTHER = from_quaternion(0.9, 0.1, -0.3, 0.2)
HARD = [
    pytest.param(torch.eye(3, dtype=torch.float64), id="identity"),
    pytest.param(about([1, 0, 0], math.pi), id="half-turn-x"),
    pytest.param(about([0, 1, 0], math.pi), id="half-turn-y"),
    pytest.param(about([0, 0, 1], math.pi), id="half-turn-z"),
    pytest.param(about([1, 1, 1], 2 * math.pi / 3), id="cyclic-axes"),
    # e3nn's poles are rotations that keep y, or reverse it
    pytest.param(about([1, 0, 0], 1e-8), id="pole+1e-8"),
    pytest.param(about([1, 0, 0], -1e-8), id="pole-1e-8"),
    pytest.param(about([0, 1, 0], 0.7) @ about([1, 0, 0], 1e-8), id="turned-pole+1e-8"),
    pytest.param(about([1, 0, 0], math.pi - 1e-8), id="antipole-1e-8"),
    pytest.param(PARITY, id="inversion"),
    pytest.param(torch.diag(torch.tensor([1.0, -1.0, 1.0]).double()), id="mirror-y"),
    pytest.param(-GENERIC, id="improper"),
]


# --- the independent path: D^l from what spherical harmonics do -----------------------------------


def sphere_quadrature(points: int) -> tuple[Tensor, Tensor]:
    """Points and weights that average polynomials of degree below ``2 points`` exactly."""
    z, weights = np.polynomial.legendre.leggauss(points)
    phi = np.pi * np.arange(2 * points) / points
    ring = np.sqrt(1 - z**2)
    vectors = np.stack(
        [np.outer(ring, np.cos(phi)), np.outer(ring, np.sin(phi)), np.outer(z, np.ones_like(phi))],
        axis=-1,
    )
    weights = np.repeat(weights / (4 * points), 2 * points)
    return torch.from_numpy(vectors.reshape(-1, 3)), torch.from_numpy(weights)


SPHERE, WEIGHTS = sphere_quadrature(DEGREES + 2)


def wigner_from_harmonics(degree: int, matrices: Tensor) -> Tensor:
    """Solve ``Y(S p) = D^l Y(p)`` by orthogonality: ``D^l = (2l + 1) <Y(S p) Y(p)^T>``."""

    def harmonics(points: Tensor) -> Tensor:
        return o3.spherical_harmonics(degree, points, normalize=False, normalization="norm")

    proper = torch.linalg.det(matrices).sign()[..., None, None] * matrices
    turned = harmonics(SPHERE @ proper.mT)
    return (2 * degree + 1) * torch.einsum("...pm,p,pn->...mn", turned, WEIGHTS, harmonics(SPHERE))


# --- the laws of D^l ------------------------------------------------------------------------------


def close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    assert actual.dtype == expected.dtype
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


def law_harmonics(wigner: Wigner, a: Tensor, b: Tensor) -> None:
    for degree, matrices in enumerate(wigner(DEGREES, a)):
        # measured 5e-15 on either path: some 10 roundings of O(1) sums per degree
        close(matrices, wigner_from_harmonics(degree, a), 1e-14)


def law_homomorphism(wigner: Wigner, a: Tensor, b: Tensor) -> None:
    for da, db, dab in zip(wigner(8, a), wigner(8, b), wigner(8, a @ b), strict=True):
        # the error of a @ b, an ulp, is multiplied by l, and sums have up to 17 terms
        close(da @ db, dab, 2e-14)


def law_orthogonality(wigner: Wigner, a: Tensor, b: Tensor) -> None:
    for matrices in wigner(8, a):
        close(matrices @ matrices.mT, torch.eye(len(matrices)).to(matrices), 2e-14)


def law_casimir(wigner: Wigner, a: Tensor, b: Tensor) -> None:
    """Derivatives at a rotation R, along ``exp(t J) R``, square to ``-l (l + 1)``."""
    degree = 3
    total = torch.zeros(2 * degree + 1, 2 * degree + 1).double()
    for axis in torch.eye(3).double():
        direction = torch.linalg.cross(axis.expand(3, 3), torch.eye(3).double(), dim=1).mT @ a
        value, slope = torch.autograd.functional.jvp(
            lambda r: wigner(degree, r)[degree], (a,), (direction,)
        )
        generator = slope @ value.mT
        total = total + generator @ generator
    close(total, -degree * (degree + 1) * torch.eye(2 * degree + 1).double(), 1e-12)


LAWS = [law_harmonics, law_homomorphism, law_orthogonality, law_casimir]


@pytest.mark.parametrize("law", LAWS)
@settings(deadline=None, max_examples=30)
@given(a=rotations(), b=rotations())
def test_wigner_law(law: Callable[..., None], a: Tensor, b: Tensor) -> None:
    law(wigner_d, a, b)


@pytest.mark.deep
@pytest.mark.parametrize("law", LAWS)
@settings(deadline=None, max_examples=2000)
@given(a=rotations(), b=rotations())
def test_wigner_law_on_many(law: Callable[..., None], a: Tensor, b: Tensor) -> None:
    law(wigner_d, a, b)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("rotation", HARD)
def test_wigner_law_at_hard_rotation(law: Callable[..., None], rotation: Tensor) -> None:
    law(wigner_d, rotation, GENERIC)


def transposed(lmax: int, rotation: Tensor) -> list[Tensor]:
    return [matrix.mT for matrix in wigner_d(lmax, rotation)]


def reversed_order(lmax: int, rotation: Tensor) -> list[Tensor]:
    return [matrix.flip(-1, -2) for matrix in wigner_d(lmax, rotation)]


def unnormalized(lmax: int, rotation: Tensor) -> list[Tensor]:
    return [1.001**degree * d for degree, d in enumerate(wigner_d(lmax, rotation))]


def of_the_improper_part(lmax: int, rotation: Tensor) -> list[Tensor]:
    sign = determinant_sign(rotation)
    return [sign**degree * d for degree, d in enumerate(wigner_d(lmax, rotation))]


def through_angles(lmax: int, rotation: Tensor) -> list[Tensor]:
    """As e3nn does: the precision follows the default dtype, gradients fail at the poles."""
    angles = o3.matrix_to_angles(determinant_sign(rotation)[..., None, None] * rotation)
    return [o3.wigner_D(degree, *angles).to(rotation) for degree in range(lmax + 1)]


def through_single_precision(lmax: int, rotation: Tensor) -> list[Tensor]:
    return [matrix.to(rotation) for matrix in wigner_d(lmax, rotation.float())]


@pytest.mark.parametrize(
    ("mutant", "law", "rotation"),
    [
        (transposed, law_harmonics, GENERIC),
        (transposed, law_homomorphism, GENERIC),
        (reversed_order, law_harmonics, GENERIC),
        (unnormalized, law_harmonics, GENERIC),
        (unnormalized, law_orthogonality, GENERIC),
        (unnormalized, law_casimir, GENERIC),
        (of_the_improper_part, law_harmonics, -GENERIC),
        (through_angles, law_harmonics, GENERIC),
        (through_angles, law_casimir, torch.eye(3).double()),
        (through_single_precision, law_harmonics, GENERIC),
        (through_single_precision, law_homomorphism, GENERIC),
        (through_single_precision, law_orthogonality, GENERIC),
    ],
)
def test_law_notices(mutant: Wigner, law: Callable[..., None], rotation: Tensor) -> None:
    with pytest.raises(AssertionError):
        law(mutant, rotation, OTHER)


def test_every_law_has_a_mutant() -> None:
    marker = next(mark for mark in test_law_notices.pytestmark if mark.name == "parametrize")
    assert {law for _, law, _ in marker.args[1]} == set(LAWS)


def test_single_precision_is_accurate() -> None:
    exact = random_rotations(500)
    for degree, matrices in enumerate(wigner_d(DEGREES, exact.float())):
        # rounding the input alone moves D^l by l ulp/2; measured 2.6e-7 at l=4 and 6e-7 at l=8
        tolerance = 5e-7 if degree <= 4 else 1e-6
        close(matrices.double(), wigner_from_harmonics(degree, exact), tolerance)


def test_highest_degree_is_a_homomorphism() -> None:
    a, b = random_rotations(20, seed=2), random_rotations(20, seed=3)
    top = [wigner_d(LMAX, x)[LMAX] for x in (a, b, a @ b)]
    close(top[0] @ top[1], top[2], 3e-14)


def test_first_degree_is_the_rotation_itself() -> None:
    rotation = random_rotations(4)[::2]
    assert torch.equal(wigner_d(1, rotation)[1], rotation)
    assert torch.equal(as_representation("1o").matrices(-rotation), -rotation)
    assert torch.equal(as_representation("1e").matrices(-rotation), rotation)


def test_agrees_with_e3nn_away_from_its_poles() -> None:
    rotation = random_rotations(20)
    irreps = o3.Irreps(MIXED)
    # e3nn computes in the default single precision
    close(as_representation(irreps).matrices(rotation), irreps.D_from_matrix(rotation), 3e-5)


# --- derivatives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rotation", HARD)
def test_derivatives_of_any_order_are_exact(rotation: Tensor) -> None:
    def entries(matrix: Tensor) -> Tensor:
        return torch.cat([d.flatten() for d in wigner_d(3, matrix)])

    leaf = rotation.clone().requires_grad_()
    assert torch.autograd.gradcheck(entries, leaf)
    assert torch.autograd.gradgradcheck(entries, leaf)


def test_gradient_through_angles_is_not_finite_at_the_identity() -> None:
    # the reason for the polynomial path; if this fails, e3nn has improved
    leaf = torch.eye(3).double().requires_grad_()
    through_angles(2, leaf)[2].sum().backward()
    assert leaf.grad is not None
    assert not leaf.grad.isfinite().all()


# larger ones run the same code, but gradgradcheck takes minutes for them
@pytest.mark.parametrize("spec", [s for s in SPECS if as_representation(s).dim <= 9])
def test_rotate_is_differentiable_twice_in_values_and_rotations(spec: str) -> None:
    representation = as_representation(spec)
    matrices = random_rotations(2).requires_grad_()
    values = random_values(representation, 2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(representation.rotate, (values, matrices))
    assert torch.autograd.gradgradcheck(representation.rotate, (values, matrices))


# --- rotate ---------------------------------------------------------------------------------------


def turned_by_matrices(representation: Representation, values: Tensor, matrices: Tensor) -> Tensor:
    """Turn values of shape (batch, extra, dim) by the full matrices."""
    return torch.einsum("bij,bnj->bni", representation.matrices(matrices), values)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("lead", [(6,), (6, 1), (6, 5), (6, 2, 3), (0,), (6, 0)], ids=str)
def test_rotate_applies_the_matrices(spec: str, lead: tuple[int, ...]) -> None:
    representation = as_representation(spec)
    matrices = random_rotations(6)[: lead[0]]
    values = random_values(representation, *lead, dtype=torch.float64)
    middle = values.reshape(lead[0], math.prod(lead[1:]), representation.dim)
    turned = representation.rotate(values, matrices)
    expected = turned_by_matrices(representation, middle, matrices)
    assert turned.shape == values.shape
    close(turned, expected.reshape(values.shape), 1e-13)  # sums of up to 81 terms of O(1)
    flat = values.reshape(*lead, representation.dim)
    assert torch.equal(representation.rotate(flat, matrices), turned.reshape(flat.shape))


@pytest.mark.parametrize("spec", SPECS)
@settings(deadline=None, max_examples=15)
@given(a=rotations(), b=rotations())
def test_representation_is_a_homomorphism(spec: str, a: Tensor, b: Tensor) -> None:
    representation = as_representation(spec)
    values = random_values(representation, 3, dtype=torch.float64)
    once = representation.rotate(values, a @ b)
    close(representation.rotate(representation.rotate(values, b), a), once, 1e-13)
    close(representation.rotate(once, (a @ b).mT), values, 1e-13)


@pytest.mark.parametrize("spec", SPECS)
def test_one_rotation_for_all(spec: str) -> None:
    representation = as_representation(spec)
    values = random_values(representation, 4, dtype=torch.float64)
    one = representation.rotate(values, -GENERIC)
    close(one, representation.rotate(values, -GENERIC.expand(4, 3, 3)), 1e-14)


def parity_law(representation: Representation, matrices: Callable[[Tensor], Tensor]) -> None:
    """``D(-S) = p D(S)`` with the parity of each irrep."""
    signs = [ir.p for copies, ir in representation.irreps for _ in range(copies * ir.dim)]
    proper = random_rotations(6)[::2]
    parity = torch.tensor(signs, dtype=torch.float64)
    close(matrices(-proper), parity[:, None] * matrices(proper), 0.0)


def test_parity() -> None:
    representation = as_representation(MIXED)
    parity_law(representation, representation.matrices)


def test_parity_law_notices_a_forgotten_determinant() -> None:
    representation = as_representation(MIXED)

    def forgetful(matrices: Tensor) -> Tensor:
        return representation.matrices(determinant_sign(matrices)[..., None, None] * matrices)

    with pytest.raises(AssertionError):
        parity_law(representation, forgetful)


@pytest.mark.parametrize("formula", FORMULAS)
def test_cartesian_parity_is_that_of_the_rank(formula: str) -> None:
    representation = as_representation(formula)
    values = random_values(representation, 1, dtype=torch.float64)
    rank = len(representation.value_shape)
    assert torch.equal(representation.rotate(values, PARITY), (-1) ** rank * values)


@pytest.fixture(params=[torch.float32, torch.float64], ids=["default-single", "default-double"])
def default_dtype(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(before)


@pytest.mark.parametrize("formula", FORMULAS)
def test_cartesian_turns_like_its_irreps(formula: str, default_dtype: torch.dtype) -> None:
    representation = as_representation(formula)
    change = CartesianTensor(formula)
    basis = change.reduced_tensor_products(torch.empty(0, dtype=torch.float64))
    matrices = random_rotations(5)
    values = representation.symmetrize_indices(
        random_values(representation, 5, dtype=torch.float64)
    )
    turned = change.from_cartesian(representation.rotate(values, matrices), basis)
    expected = IrrepsRepresentation(representation.irreps).rotate(
        change.from_cartesian(values, basis), matrices
    )
    # e3nn rounds its change of basis to the default dtype
    close(turned, expected, 20 * torch.finfo(default_dtype).eps)


@pytest.mark.parametrize("formula", FORMULAS)
def test_cartesian_contains_the_irreps_that_e3nn_finds(formula: str) -> None:
    representation = as_representation(formula)
    assert representation.irreps == o3.Irreps(CartesianTensor(formula)).simplify()
    assert representation.lmax == representation.irreps.lmax


def test_even_scalars_cost_nothing() -> None:
    representation = as_representation("3x0e")
    values = torch.randn(5, 3)
    assert representation.is_invariant
    assert representation.rotate(values, random_rotations(5)) is values
    assert not any(as_representation(spec).is_invariant for spec in SPECS)


@pytest.mark.parametrize("spec", ["0e", "0o"])
def test_single_scalar_may_come_bare(spec: str) -> None:
    representation = as_representation(spec)
    matrices, values = random_rotations(4), torch.arange(1.0, 5.0)
    bare = representation.rotate(values, matrices)
    assert torch.equal(bare, representation.rotate(values[:, None], matrices)[:, 0])
    assert bare.tolist() == ([1, 2, 3, 4] if spec == "0e" else [1, -2, 3, -4])
    assert representation.block_squares(values).shape == (4, 1)
    assert torch.equal(representation.project_invariant(values, "SO(3)"), values)


# --- dtype, device, transforms --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_follows_the_input(dtype: torch.dtype, default_dtype: torch.dtype) -> None:
    matrices = random_rotations(3, dtype=dtype)
    assert all(d.dtype == dtype for d in wigner_d(3, matrices))
    torch.set_default_dtype(torch.float32)
    reference = wigner_d(3, matrices)
    torch.set_default_dtype(torch.float64)
    assert all(map(torch.equal, reference, wigner_d(3, matrices)))


@pytest.mark.parametrize("spec", SPECS)
def test_matrices_are_cast_once(spec: str) -> None:
    representation = as_representation(spec)
    matrices = random_rotations(6)
    values = random_values(representation, 6, dtype=torch.float64)
    exact = representation.rotate(values, matrices)
    mixed = representation.rotate(values.float(), matrices)
    assert mixed.dtype == torch.float32
    # values, matrices and each of up to four products are rounded, in sums of some 10 terms
    scale = values.abs().max().item() * 10
    close(mixed.double(), exact, scale * 6 * torch.finfo(torch.float32).eps)


@pytest.mark.parametrize("spec", SPECS)
def test_device_follows_the_input(spec: str) -> None:
    # tensors on "meta" refuse to meet others, as those on a GPU do
    representation = as_representation(spec)
    values = random_values(representation, 2, dtype=torch.float32).to("meta")
    matrices = random_rotations(2, dtype=torch.float32).to("meta")
    assert representation.rotate(values, matrices).device.type == "meta"
    assert representation.matrices(matrices).device.type == "meta"
    assert representation.project_invariant(values, "SO(3)").device.type == "meta"


@pytest.mark.parametrize("spec", SPECS)
def test_autocast_leaves_the_precision_alone(spec: str) -> None:
    representation = as_representation(spec)
    matrices = random_rotations(3, dtype=torch.float32)
    values = random_values(representation, 3, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        inside = representation.rotate(values, matrices)
    assert torch.equal(inside, representation.rotate(values, matrices))


@pytest.mark.parametrize("spec", SPECS)
def test_vmap(spec: str) -> None:
    representation = as_representation(spec)
    matrices = random_rotations(12).reshape(4, 3, 3, 3)
    values = random_values(representation, 4, 3, dtype=torch.float64)
    mapped = torch.vmap(representation.rotate)(values, matrices)
    looped = torch.stack(list(map(representation.rotate, values, matrices)))
    close(mapped, looped, 1e-14)
    close(torch.vmap(representation.matrices)(matrices), representation.matrices(matrices), 1e-14)


def in_inference_mode(make: Callable[[], Tensor]) -> None:
    with torch.inference_mode():
        make()


def in_export(make: Callable[[], Tensor]) -> None:
    class Module(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * make()

    torch.export.export(Module(), (torch.ones(3),))


CONTEXTS = [in_inference_mode, in_export]


class KeptAsMade:
    """The mutant: a plain cache."""

    def __init__(self, exact: Tensor) -> None:
        self.exact = exact
        self.kept: list[Tensor] = []

    def to(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        if not self.kept:
            self.kept.append(self.exact.to(dtype=dtype, device=device))
        return self.kept[0]


def constant_law(kind: type, context: Callable[..., None]) -> None:
    """A constant first asked for in a special context serves an ordinary one afterwards."""
    shared = kind(torch.arange(3.0, dtype=torch.float64))

    def make() -> Tensor:
        return shared.to(torch.float32, torch.device("cpu"))

    context(make)
    leaf = torch.ones(3, requires_grad=True)
    (leaf * make()).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [0, 1, 2]
    assert make() is make()


@pytest.mark.parametrize("context", CONTEXTS)
def test_constants_outlive_the_context_that_made_them(context: Callable[..., None]) -> None:
    constant_law(Constant, context)


@pytest.mark.parametrize("context", CONTEXTS)
def test_constant_law_notices_a_plain_cache(context: Callable[..., None]) -> None:
    with pytest.raises((AssertionError, RuntimeError)):
        constant_law(KeptAsMade, context)


IN_A_FRESH_PROCESS = """
import json, sys, torch
from symmetrize.representation import as_representation
torch.set_num_threads(1)
spec = sys.argv[1]
representation = as_representation(spec)
generator = torch.Generator().manual_seed(0)
values = torch.randn(4, 2, *representation.value_shape, generator=generator)
rotations = torch.linalg.qr(torch.randn(4, 3, 3, generator=generator)).Q

def gradient(f):
    leaf = rotations.clone().requires_grad_()
    f(values, leaf).square().mul(weights).sum().backward()
    return leaf.grad

class Module(torch.nn.Module):
    def forward(self, values, rotations):
        return representation.rotate(values, rotations)

# the transform comes first, so that it meets empty caches
if sys.argv[2] == "compile":
    transformed = torch.compile(representation.rotate, fullgraph=True)
else:
    batch = torch.export.Dim("batch", min=2, max=64)
    transformed = torch.export.export(
        Module(), (values, rotations), dynamic_shapes=({0: batch}, {0: batch})
    ).module()
turned = transformed(values, rotations)
weights = torch.randn(turned.shape, generator=generator)
plain = representation.rotate(values, rotations)
errors = [turned - plain, transformed(values[:3], rotations[:3]) - plain[:3]]
errors.append(gradient(transformed) - gradient(representation.rotate))
print(json.dumps([error.abs().max().item() for error in errors]))
"""


def transformed_errors(spec: str, transform: str) -> list[float]:
    """Difference of values, values at another batch size, and gradients; without type checks."""
    command = [sys.executable, "-W", "ignore", "-c", IN_A_FRESH_PROCESS, spec, transform]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("transform", ["compile", "export"])
# the second needs all constants of degree 2 to 4, and the determinant
@pytest.mark.parametrize("spec", ["0e + 1o", "2x1e + 0o + 4e", "ijk"])
def test_compiles_and_exports(spec: str, transform: str) -> None:
    same, other_size, gradients = transformed_errors(spec, transform)
    # single precision, other orders of summation; gradients are sums of some 100 products
    assert max(same, other_size) < 5e-6
    assert gradients < 5e-4


# --- invariants, index symmetry, blocks -----------------------------------------------------------


def group_average(representation: Representation, values: Tensor, group: str) -> Tensor:
    """Average over the icosahedral group, which kills every irrep of degree 1 to 5."""
    matrices = torch.from_numpy(Rotation.create_group("I").as_matrix())
    if group == "O(3)":
        matrices = torch.cat([matrices, -matrices])
    copies = values.expand(len(matrices), *values.shape)
    return representation.rotate(copies, matrices).mean(0)


@pytest.mark.parametrize("group", ["O(3)", "SO(3)"])
@pytest.mark.parametrize("spec", SPECS)
def test_invariant_part_is_the_group_average(spec: str, group: str) -> None:
    representation = as_representation(spec)
    values = representation.symmetrize_indices(
        random_values(representation, 4, dtype=torch.float64)
    )
    projected = representation.project_invariant(values, group)
    close(projected, group_average(representation, values, group), 1e-14)
    flat = values.reshape(4, -1)
    assert torch.equal(representation.project_invariant(flat, group), projected.reshape(4, -1))


def test_levi_civita_is_invariant_under_proper_rotations_only() -> None:
    representation = as_representation("ijk")
    epsilon = torch.zeros(3, 3, 3)
    for axes in itertools.permutations(range(3)):
        epsilon[axes] = np.linalg.det(np.eye(3)[list(axes)])
    close(representation.project_invariant(epsilon, "SO(3)"), epsilon, 1e-6)
    assert not representation.project_invariant(epsilon, "O(3)").any()


def test_index_symmetries() -> None:
    generator = torch.Generator().manual_seed(0)
    t2, t3 = (torch.randn(5, *shape, generator=generator) for shape in [(3, 3), (3, 3, 3)])

    def project(formula: str, values: Tensor) -> Tensor:
        return as_representation(formula).symmetrize_indices(values)

    assert torch.equal(project("ij=ji", t2), (t2 + t2.mT) / 2)
    assert torch.equal(project("ij=-ji", t2), (t2 - t2.mT) / 2)
    assert torch.equal(project("ij", t2), t2)
    assert torch.equal(project("ij=ji", t2.reshape(5, 9)), ((t2 + t2.mT) / 2).reshape(5, 9))
    orders = list(itertools.permutations(range(3)))
    total = sum(t3.permute(0, *(1 + axis for axis in order)) for order in orders)
    close(project("ijk=jik=ikj", t3), total / 6, 1e-6)
    # cyclic only: an order and its inverse differ, so a mistake between them would show
    cyclic = t3 + t3.permute(0, 2, 3, 1) + t3.permute(0, 3, 1, 2)
    close(project("ijk=jki", t3), cyclic / 3, 1e-6)
    irreps = torch.randn(5, 4)
    assert as_representation("0e + 1o").symmetrize_indices(irreps) is irreps


@pytest.mark.parametrize("formula", FORMULAS)
def test_index_symmetry_is_a_projection_that_rotations_keep(formula: str) -> None:
    representation = as_representation(formula)
    values = random_values(representation, 4, dtype=torch.float64)
    matrices = random_rotations(4)
    project = representation.symmetrize_indices
    close(project(project(values)), project(values), 1e-15)
    turned_then = project(representation.rotate(values, matrices))
    close(turned_then, representation.rotate(project(values), matrices), 1e-13)


def blocks_law(representation: Representation, values: Tensor, matrices: Tensor) -> None:
    """Squared block norms do not change, and add up to that of the value."""
    squares = representation.block_squares(values)
    turned = representation.block_squares(representation.rotate(values, matrices))
    assert squares.shape == (len(values), len(representation.blocks))
    close(turned, squares, 1e-12)
    close(squares.sum(-1), values.reshape(len(values), -1).square().sum(-1), 1e-12)


@pytest.mark.parametrize("spec", SPECS)
def test_blocks(spec: str) -> None:
    representation = as_representation(spec)
    values = random_values(representation, 6, dtype=torch.float64)
    blocks_law(representation, values, random_rotations(6))
    columns = [
        i for block in representation.blocks for i in range(representation.dim)[block.columns]
    ]
    assert columns == list(range(representation.dim))
    assert len({block.label for block in representation.blocks}) == len(representation.blocks)
    flat = values.reshape(6, -1)
    squares = [flat[:, block.columns].square().sum(-1) for block in representation.blocks]
    close(representation.block_squares(values), torch.stack(squares, -1), 1e-14)


def test_blocks_law_notices_matrices_that_scale() -> None:
    representation = as_representation("0e + 1o")
    values = random_values(representation, 6, dtype=torch.float64)
    with pytest.raises(AssertionError):
        blocks_law(representation, values, 1.001 * random_rotations(6))


def test_block_labels() -> None:
    labels = [block.label for block in as_representation("2x0e + 1o + 0o + 0e").blocks]
    assert labels == ["0e[0]", "0e[1]", "1o", "0o", "0e[2]"]


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "text", "dim", "shape", "irreps"),
    [
        ("0e + 1o", "0e + 1o", 4, (4,), "0e + 1o"),
        ("8x0e+4x1o", "8x0e + 4x1o", 20, (20,), "8x0e + 4x1o"),
        (o3.Irreps("1o + 0x2e + 0e"), "1o + 0e", 4, (4,), "1o + 0e"),
        (o3.Irrep("2e"), "2e", 5, (5,), "2e"),
        ("i", "i", 3, (3,), "1o"),
        (" ij = ji ", "ij=ji", 9, (3, 3), "0e + 2e"),
        ("ijk=jik=ikj", "ijk=jik=ikj", 27, (3, 3, 3), "1o + 3o"),
    ],
)
def test_names(
    spec: str | o3.Irreps, text: str, dim: int, shape: tuple[int, ...], irreps: str
) -> None:
    representation = as_representation(spec)
    assert str(representation) == text
    assert representation.dim == dim
    assert representation.value_shape == shape
    assert representation.irreps == o3.Irreps(irreps)
    assert as_representation(representation) is representation
    assert as_representation(text) == representation
    assert hash(as_representation(text)) == hash(representation)


def test_equality_is_that_of_layout_and_turning() -> None:
    assert as_representation("2x0e") == as_representation("0e + 0e")
    assert hash(as_representation("2x0e")) == hash(as_representation("0e + 0e"))
    assert as_representation("ij=ji") == as_representation("ab=ba")
    different = ["0e + 1o", "1o + 0e", "0e + 1e", "i", "1o", "ij", "ij=ji", "ij=-ji", "2x1o"]
    assert len({as_representation(spec) for spec in different}) == len(different)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "hold no values"),
        ("0x1o", "hold no values"),
        ("1q", "'1q' is not understood"),
        ("0e + ij", "not understood"),
        ("12o", r"lmax is 12 but must lie in \[0, 11\]"),
        ("ii", "one letter per index"),
        ("ij=jk", "one letter per index"),
        ("-ij", "one letter per index"),
        ("ij=", "one letter per index"),
        ("dipole", "one letter per index"),
        ("ij=-ij", "only zero satisfies it"),
        ("ijk=jki=-jki", "only zero satisfies it"),
    ],
)
def test_unknown_names(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_representation(spec)


@pytest.mark.parametrize("spec", [3, None, ["0e"], torch.eye(3)], ids=str)
def test_names_of_another_type(spec: object) -> None:
    with pytest.raises(TypeError, match="pass a string such as"):
        unwrap(as_representation)(spec)


@pytest.mark.parametrize(
    ("spec", "values", "matrices", "error", "message"),
    [
        ("0e + 1o", (2, 5), (2, 3, 3), ValueError, r"\(2, 5\) but '0e \+ 1o' takes \(..., 4\)"),
        ("ij", (2, 6), (2, 3, 3), ValueError, r"takes \(..., 9\) or \(..., 3, 3\)"),
        ("1o", (2, 3), (3, 3, 3), ValueError, "leading dimensions must agree"),
        ("1o", (3,), (3, 3, 3), ValueError, "leading dimensions must agree"),
        ("0e", (2, 1), (3, 3, 3), ValueError, "leading dimensions must agree"),
        ("1o", (2, 3), (2, 4), ValueError, r"must be \(batch, 3, 3\)"),
    ],
)
def test_shapes_that_do_not_fit(
    spec: str,
    values: tuple[int, ...],
    matrices: tuple[int, ...],
    error: type[Exception],
    message: str,
) -> None:
    # unwrapped: the type checker of the tests would speak first
    rotate = unwrap(Representation.rotate)
    with pytest.raises(error, match=message):
        rotate(as_representation(spec), torch.zeros(values), torch.zeros(matrices))


def test_dtypes_that_do_not_fit() -> None:
    rotate = unwrap(Representation.rotate)
    vector = as_representation("1o")
    with pytest.raises(TypeError, match=r"`rotations` has dtype torch\.int64"):
        rotate(vector, torch.zeros(1, 3), torch.eye(3, dtype=torch.int64)[None])


@pytest.mark.parametrize("lmax", [-1, LMAX + 1])
def test_degrees_out_of_range(lmax: int) -> None:
    with pytest.raises(ValueError, match=rf"lmax is {lmax} but must lie in \[0, {LMAX}\]"):
        wigner_d(lmax, torch.eye(3))


def test_unknown_group() -> None:
    project = unwrap(IrrepsRepresentation.project_invariant)
    with pytest.raises(ValueError, match=r"`group` is 'O\(2\)'"):
        project(as_representation("0e"), torch.zeros(1, 1), "O(2)")
