"""A pretrained network of particle fluids: continuous convolutions on particles and walls.

What it returns corrects the positions of particles after a step of free fall. It sees velocities of
particles and normals of walls, within a radius, through kernels on a cubic grid, which is why it
does not turn with its input.

Source: Ummenhofer, Prantl, Thuerey and Koltun, ICLR 2020, openreview B1lDoJSYDH; weights of
isl-org/DeepLagrangianFluids, CDLA-Permissive-1.0.
"""

import math
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from symmetrize import per_point

RADIUS = 0.1125
CELLS = 4  # of a kernel, along each axis
OUTPUTS = per_point("1o")
INPUTS = {"velocity": "1o", "normal": "1o"}
WALLS = "wall"
# What the network returns is in this unit
SCALE = 1 / 128


class FluidNet(nn.Module):
    """Corrections of the positions of particles, one vector for each."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        state = torch.load(weights, map_location="cpu", weights_only=True)
        self.weights = nn.ParameterDict(
            {name.replace(".", "_"): value for name, value in state.items()}
        )

    def forward(self, data: Data) -> Tensor:
        """(particles, 3)."""
        first = torch.cat([torch.ones_like(data.pos[:, :1]), data.velocity], 1)
        here, wall = data.pos, data[WALLS]
        fluid = Pairs(here, here, within_reach(here, here, data.batch, data.batch))
        walls = Pairs(here, wall, within_reach(here, wall, data.batch, data[f"{WALLS}_batch"]))
        found = torch.cat(
            [
                self._convolved("conv0_obstacle", data.normal, walls),
                self._convolved("conv0_fluid", first, fluid),
                self._dense("dense0_fluid", first),
            ],
            dim=1,
        )
        for layer in (1, 2, 3):
            active = found.relu()
            more = self._convolved(f"conv{layer}", active, fluid)
            more = more + self._dense(f"dense{layer}", active)
            found = found + more if found.shape == more.shape else more
        return SCALE * found

    def _dense(self, name: str, values: Tensor) -> Tensor:
        return values @ self.weights[f"{name}_weight"].T + self.weights[f"{name}_bias"]

    def _convolved(self, name: str, values: Tensor, pairs: "Pairs") -> Tensor:
        kernel, bias = self.weights[f"{name}_kernel"], self.weights[f"{name}_bias"]
        columns = kernel.size(-2)
        sums = values.new_zeros(pairs.number * CELLS**3, columns)
        for cell, weight in pairs.corners:
            sums = sums.index_add(0, cell, weight[:, None] * values[pairs.source])
        return sums.reshape(pairs.number, -1) @ kernel.reshape(-1, kernel.size(-1)) + bias


class Pairs:
    """Where each source lies in the kernel of each particle: eight cells, with weights.

    Args:
        here: particles.
        there: sources.
        index: (2, pairs) of particles and sources within the radius.
    """

    def __init__(
        self,
        here: Float[Tensor, "particles 3"],
        there: Float[Tensor, "sources 3"],
        index: Int[Tensor, "2 pairs"],
    ) -> None:
        particle, self.source = index
        self.number = len(here)
        away = (there[self.source] - here[particle]) / RADIUS
        window = (1 - away.square().sum(-1)).clamp(min=0) ** 3
        place = (ball_to_cube(away) + 1) * (CELLS - 1) / 2
        low = place.detach().floor().clamp(0, CELLS - 2)
        part = place - low
        self.corners = []
        for x, y, z in torch.cartesian_prod(*[torch.arange(2)] * 3).tolist():
            weight = window
            for axis, upper in enumerate((x, y, z)):
                weight = weight * (part[:, axis] if upper else 1 - part[:, axis])
            column, row, layer = (low.long() + torch.tensor([x, y, z])).unbind(-1)
            # kernels are stored by z, y, x
            cell = (layer * CELLS + row) * CELLS + column
            self.corners.append((particle * CELLS**3 + cell, weight))


def ball_to_cube(points: Float[Tensor, "rows 3"]) -> Float[Tensor, "rows 3"]:
    """The unit ball onto the cube of half side 1, in equal volumes, by way of a cylinder.

    Source: Griepentrog, Hoeppner, Kaiser and Rehberg, CRM Barcelona 2008.
    """
    x, y, z = points.unbind(-1)
    tiny = torch.finfo(points.dtype).tiny
    flat = x * x + y * y
    norm = (flat + z * z).clamp(min=tiny).sqrt()
    polar = 1.25 * z * z > flat
    stretch = torch.where(
        polar,
        (3 * norm / (norm + z.abs())).sqrt(),
        norm / flat.clamp(min=tiny).sqrt(),
    )
    height = torch.where(polar, torch.copysign(norm, z), 1.5 * z)
    x, y = x * stretch, y * stretch
    radius = (x * x + y * y).clamp(min=tiny).sqrt()
    wide = y.abs() <= x.abs()
    safe_x, safe_y = torch.where(x == 0, 1.0, x), torch.where(y == 0, 1.0, y)
    along, across = torch.copysign(radius, x), torch.copysign(radius, y)
    turned = 4 / math.pi
    first = torch.where(wide, along, across * turned * torch.atan(x / safe_y))
    second = torch.where(wide, along * turned * torch.atan(y / safe_x), across)
    return torch.stack([first, second, height], dim=-1)


def within_reach(
    here: Float[Tensor, "particles 3"],
    there: Float[Tensor, "sources 3"],
    whose: Int[Tensor, "particles"],
    of: Int[Tensor, "sources"],
) -> Int[Tensor, "2 pairs"]:
    """Pairs of one structure within the radius, but for those of a particle and itself."""
    near = (torch.cdist(here, there) < RADIUS) & (whose[:, None] == of[None, :])
    if here is there:
        near.fill_diagonal_(False)
    return near.nonzero().T


def dropping_cube(side: int = 7, seed: int = 0) -> Batch:
    """A cube of fluid that falls onto a floor, y up."""
    generator = torch.Generator().manual_seed(seed)
    spacing = 0.05
    axis = torch.arange(side, dtype=torch.float64) * spacing
    pos = torch.cartesian_prod(axis, axis, axis)
    pos = pos + 0.006 * torch.randn(pos.shape, dtype=torch.float64, generator=generator)
    velocity = torch.zeros_like(pos)
    velocity[:, 1] = -0.8
    floor = torch.arange(-3, side + 3, dtype=torch.float64) * spacing
    wall = torch.cartesian_prod(floor, torch.tensor([-0.04], dtype=torch.float64), floor)
    normal = torch.zeros_like(wall)
    normal[:, 1] = 1
    data = Data(pos=pos, velocity=velocity, **{WALLS: wall}, normal=normal)
    return Batch.from_data_list([data], follow_batch=[WALLS])
