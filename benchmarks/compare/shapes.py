"""Labelled shapes: points, or surfaces of meshes that points are drawn on.

They are centered and scaled into the unit sphere. What the test shows beside the shapes as they
are is said by ``also``: with noise, of fewer points, turned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from benchmarks.compare.configuration import CHOICES, ConfigurationError, DataChoice
from benchmarks.compare.data import DataSet, Target
from symmetrize.groups import UPRIGHT, Direction, as_direction, is_axial, random_elements

# Points that are drawn on each surface, if the configuration does not say how many
DRAWN = 1024
MESHES, CLOUDS = (".off", ".ply", ".obj", ".stl"), (".xyz", ".txt", ".pts")
CHANGES = ("noise", "points", "turned", "axis")


def of_shapes(choice: DataChoice) -> DataSet:
    """An npz file of points and labels, or a folder with one for each class.

    A folder of a class has files, or folders "train" and "test" of them, as ModelNet has.

    Raises:
        ConfigurationError: if there is neither.
    """
    path = Path(choice.path)
    if path.is_file():
        return _of_file(path, choice)
    folders = sorted(one for one in path.iterdir() if one.is_dir()) if path.is_dir() else []
    if not folders:
        raise ConfigurationError(
            f"[data] path: {choice.path!r} is no npz file, and no folder of one folder a class"
        )
    generator = np.random.default_rng(choice.seed)
    clouds, labels, tests = [], [], []
    for number, folder in enumerate(folders):
        for file in sorted(folder.rglob("*")):
            if file.suffix not in (*MESHES, *CLOUDS):
                continue
            clouds.append(points_of(file, choice.points, generator))
            labels.append(number)
            tests.append("test" in file.relative_to(folder).parts[:-1])
    if not clouds:
        kinds = ", ".join((*MESHES, *CLOUDS))
        raise ConfigurationError(f"[data] path: no folder in {choice.path!r} has files of {kinds}")
    names = [folder.name for folder in folders]
    return of_clouds(clouds, labels, names, tests, choice, f"the folder {path.name}")


def _of_file(path: Path, choice: DataChoice) -> DataSet:
    try:
        with np.load(path, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"[data] path: {path.name} is no npz file: {error}") from None
    missing = [name for name in ("points", "label") if name not in stored]
    if missing:
        raise ConfigurationError(f"{path.name} lacks {missing}: it has {list(stored)}")
    labels = stored["label"].astype(np.int64)
    names = stored.get("class_names", np.arange(int(labels.max()) + 1))
    clouds = [torch.tensor(cloud).double() for cloud in stored["points"]]
    tests = stored.get("split", np.zeros(len(labels))) == 1
    return of_clouds(clouds, labels, list(map(str, names)), tests, choice, f"the file {path.name}")


def points_of(file: Path, number: int | None, generator: np.random.Generator) -> Tensor:
    """Points of a file: those that it has or, of a mesh, some that are drawn on its surface.

    Raises:
        ConfigurationError: if it cannot be read.
    """
    if file.suffix in CLOUDS:
        try:
            return torch.tensor(np.loadtxt(file, comments="#", usecols=(0, 1, 2), ndmin=2))
        except ValueError as error:
            raise ConfigurationError(f"{file.name} is no table of points: {error}") from None
    import trimesh

    try:
        found = trimesh.load(file, process=False)
        found = found.to_geometry() if isinstance(found, trimesh.Scene) else found
    except Exception as error:  # whatever a broken file leads it to
        raise ConfigurationError(f"{file.name} cannot be read: {error}") from None
    return drawn(np.asarray(found.vertices), getattr(found, "faces", None), number, generator)


def drawn(
    vertices: np.ndarray,
    faces: np.ndarray | None,
    number: int | None,
    generator: np.random.Generator,
) -> Tensor:
    """Points drawn on the surface of a mesh, uniformly; of a cloud, its points."""
    if faces is None or not len(faces):
        return torch.tensor(np.array(vertices)).double()
    import trimesh

    mesh = trimesh.Trimesh(vertices, faces, process=False)
    seed = int(generator.integers(2**31))
    points, _ = trimesh.sample.sample_surface(mesh, number or DRAWN, seed=seed)
    return torch.tensor(np.array(points)).double()


def of_clouds(
    clouds: Sequence[Tensor],
    labels: Sequence[int] | np.ndarray,
    names: Sequence[str],
    tests: Sequence[bool] | np.ndarray,
    choice: DataChoice,
    source: str,
) -> DataSet:
    """Shapes, centered and in the unit sphere, thinned to as many points as asked for."""
    generator = torch.Generator().manual_seed(choice.seed)
    parts: tuple[list[Data], list[Data]] = ([], [])
    for cloud, label, is_test in zip(clouds, labels, tests, strict=True):
        pos = cloud - cloud.mean(0)
        pos = pos / pos.norm(dim=1).max()
        pos = _thinned(pos, choice.points, generator)
        parts[int(is_test)].append(Data(pos=pos, label=torch.tensor([int(label)])))
    target = Target(f"{len(names)}x0e", unit="%", classes=tuple(names))
    varied: dict[str, Callable[[list[Data]], list[Data]]] = {
        name: partial(changed, Change.of(name, how)) for name, how in choice.also.items()
    }
    return DataSet(parts[0], {"label": target}, source, parts[1], varied=varied)


def _thinned(pos: Tensor, number: int | None, generator: torch.Generator) -> Tensor:
    if number is None or number >= len(pos):
        return pos
    return pos[torch.randperm(len(pos), generator=generator)[:number]]


@dataclass(frozen=True)
class Change:
    """What is done to shapes of the test.

    Attributes:
        noise: added to coordinates, normal, of this standard deviation; shapes have radius one.
        points: that are left.
        turned: "SO(3)", ...: by random elements of this group.
        axis: of it, if it has one.
    """

    noise: float = 0.0
    points: int | None = None
    turned: str | None = None
    axis: Direction = UPRIGHT

    @classmethod
    def of(cls, name: str, how: Any) -> Change:
        """As [data.also] says.

        Raises:
            ConfigurationError: if it says something else.
        """
        if not isinstance(how, Mapping) or set(how) - set(CHANGES):
            raise ConfigurationError(
                f"[data.also] {name!r} is {how!r} but must say how shapes are changed, by some of "
                f"{', '.join(CHANGES)}: {{noise = 0.02}}"
            )
        if "turned" in how and how["turned"] not in CHOICES["group"]:
            raise ConfigurationError(
                f"[data.also] {name!r}: turned is {how['turned']!r} but must be one of "
                f"{', '.join(CHOICES['group'])}"
            )
        return cls(**{key: as_direction(one) if key == "axis" else one for key, one in how.items()})


def changed(change: Change, shapes: list[Data]) -> list[Data]:
    """Shapes with a change, the same for the same shapes."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for one in shapes:
        pos = _thinned(one.pos, change.points, generator)
        pos = pos + change.noise * torch.randn(pos.shape, generator=generator, dtype=pos.dtype)
        if change.turned is not None:
            axis = change.axis if is_axial(change.turned) else UPRIGHT  # type: ignore[arg-type]
            (turn,) = random_elements(1, change.turned, generator, axis=axis)  # type: ignore[arg-type]
            pos = pos @ turn.to(pos.dtype).mT
        found.append(Data(pos=pos, label=one.label))
    return found
