"""Data of comparisons: shapes and meshes, data sets of torch-geometric, and downloads."""

from __future__ import annotations

import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from benchmarks.compare import downloads
from benchmarks.compare.configuration import ConfigurationError, DataChoice
from benchmarks.compare.data import DataSet
from benchmarks.compare.downloads import BOHR, DOWNLOADS, HARTREE, KILOCALORIE
from benchmarks.compare.evaluation import evaluated
from benchmarks.compare.sets import data_of

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("pooch")


def meshes(folder: Path) -> None:
    """Two classes, in folders of training and test, in several formats."""
    made = {"box": trimesh.creation.box(), "ball": trimesh.creation.icosphere()}
    for name, mesh in made.items():
        for part, suffix in (("train", "off"), ("train", "ply"), ("test", "stl")):
            (folder / name / part).mkdir(parents=True, exist_ok=True)
            mesh.export(folder / name / part / f"{name}_{suffix}.{suffix}")


# --- shapes


def test_points_are_drawn_on_meshes(tmp_path: Path) -> None:
    meshes(tmp_path)
    choice = DataChoice(set="shapes", path=str(tmp_path), points=300)
    data = data_of(choice)
    assert data.targets["label"].classes == ("ball", "box")
    assert [int(one.label) for one in data.structures] == [0, 0, 1, 1]
    assert [int(one.label) for one in data.test] == [0, 1]
    ball, box = (one.pos for one in data.test)
    assert ball.shape == box.shape == (300, 3)
    # on the sphere, and on the faces of the cube, uniformly: not at their corners
    assert float(ball.norm(dim=1).std()) < 0.05
    on_a_face = (box.abs() / box.abs().amax(0)).amax(1)
    assert float(on_a_face.min()) > 0.9
    assert float((box.norm(dim=1) > 0.9 * box.norm(dim=1).max()).double().mean()) < 0.2
    again = data_of(choice)
    assert torch.equal(again.test[0].pos, ball)
    assert not torch.equal(data_of(replace(choice, seed=1)).test[0].pos, ball)


def test_a_header_of_modelnet_that_lacks_its_line_break(tmp_path: Path) -> None:
    meshes(tmp_path)
    path = tmp_path / "box" / "train" / "box_off.off"
    text = path.read_text()
    path.write_text(text.replace("OFF\n", "OFF", 1))
    assert len(data_of(DataChoice(set="shapes", path=str(tmp_path))).structures) == 4


def test_a_cloud_in_a_ply_file_has_its_own_points(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(12, 3))
    (tmp_path / "one").mkdir()
    trimesh.PointCloud(points).export(tmp_path / "one" / "cloud.ply")
    (one,) = data_of(DataChoice(set="shapes", path=str(tmp_path))).structures
    assert one.pos.shape == (12, 3)


@pytest.mark.parametrize(("name", "text"), [("a.off", "no mesh"), ("a.xyz", "no numbers")])
def test_a_broken_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / name).write_text(text)
    with pytest.raises(ConfigurationError, match=name):
        data_of(DataChoice(set="shapes", path=str(tmp_path)))


def test_an_empty_folder_says_what_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(ConfigurationError, match=r"\.ply"):
        data_of(DataChoice(set="shapes", path=str(tmp_path)))


def shapes(tmp_path: Path, **also: Any) -> DataSet:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "s.npz", points=rng.normal(size=(9, 30, 3)), label=[0, 1, 2] * 3)
    return data_of(DataChoice(set="shapes", path=str(tmp_path / "s.npz"), also=also))


def test_changed_shapes(tmp_path: Path) -> None:
    data = shapes(
        tmp_path,
        noisy={"noise": 0.1},
        thinned={"points": 10},
        turned={"turned": "SO(2)", "axis": [0, 1, 0]},
    )
    before = data.structures
    noisy, thinned, turned = (data.varied[k](before) for k in ("noisy", "thinned", "turned"))
    apart = torch.cat([a.pos - b.pos for a, b in zip(noisy, before, strict=True)])
    assert 0.08 < float(apart.std()) < 0.12
    assert {len(one.pos) for one in thinned} == {10}
    for one, other in zip(turned, before, strict=True):
        torch.testing.assert_close(one.pos[:, 1], other.pos[:, 1])
        assert float((one.pos - other.pos).abs().max()) > 1e-3
    # the same each time, so that networks see the same
    assert torch.equal(data.varied["noisy"](before)[0].pos, noisy[0].pos)


@pytest.mark.parametrize("how", ["other.xyz", {"noisy": 1}, {"turned": "SO(4)"}])
def test_a_change_that_is_none(tmp_path: Path, how: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"data\.also"):
        shapes(tmp_path, other=how)


def test_changed_shapes_are_evaluated(tmp_path: Path) -> None:
    from benchmarks.compare.configuration import FramesChoice, NetworkChoice, Run, TrainingChoice
    from benchmarks.compare.learning import Units
    from benchmarks.compare.networks import Mock

    data = shapes(tmp_path, noisy={"noise": 0.3})
    net = Mock(data.outputs, []).float()
    run = Run(NetworkChoice("mock"), FramesChoice(), DataChoice(), TrainingChoice(), 0)
    found = evaluated(net, Units(data, data.structures), run, data, data.structures)
    for form in ("bare", "symmetrized"):
        assert 0 <= found[form]["also"]["noisy"]["label"]["accuracy"] <= 1


# --- torch-geometric


class Meshes:
    """As ModelNet: meshes with a label, in two parts."""

    def __init__(self, root: str, train: bool = True) -> None:
        assert root == "somewhere"
        mesh = trimesh.creation.box()
        pos, face = torch.tensor(mesh.vertices).float(), torch.tensor(mesh.faces).long().T
        number = 6 if train else 2
        self.items = [Data(pos=pos, face=face, y=torch.tensor([k % 2])) for k in range(number)]

    def __iter__(self) -> Iterator[Data]:
        return iter(self.items)


class Properties:
    """As QM9: many numbers in one row."""

    def __iter__(self) -> Iterator[Data]:
        for k in range(5):
            yield Data(
                pos=torch.randn(3, 3), z=torch.tensor([8, 1, 1]), y=torch.arange(4.0)[None] + k
            )


def pyg(kind: str, **more: Any) -> DataSet:
    options = {"dataset": f"{__name__}:{kind}", **more.pop("options", {})}
    return data_of(DataChoice(set="pyg", options=options, **more))


def test_shapes_of_pyg() -> None:
    data = pyg("Meshes", options={"root": "somewhere"}, points=50)
    assert (len(data.structures), len(data.test)) == (6, 2)
    assert data.outputs == {"label": "2x0e"}
    assert data.structures[0].pos.shape == (50, 3)


def test_structures_of_pyg() -> None:
    targets = {
        "energy": {"key": "y", "column": 2},
        "pair": {"key": "y", "column": [0, 1], "representation": "2x0e"},
    }
    data = pyg("Properties", targets=targets)
    assert data.structures[1].energy.tolist() == [[3.0]]
    assert data.structures[1].pair.shape == (1, 2)
    assert data.structures[1].pos.dtype == torch.float64
    assert data.species == [1, 8]


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        ("Properties", {}, "name its targets"),
        ("Properties", {"targets": {"energy": "U0"}}, "has no 'U0' but"),
        ("Meshes", {"options": {"folder": "x"}}, "cannot be made"),
        ("Nothing", {}, "cannot be imported"),
    ],
)
def test_what_pyg_cannot_give(kind: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        pyg(kind, **more)


def test_pyg_needs_a_class() -> None:
    with pytest.raises(ConfigurationError, match="lacks dataset"):
        data_of(DataChoice(set="pyg"))


# --- downloads


def added(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


QM9 = """3
gdb 3\t799.58812\t437.90386\t282.94545\t1.8511\t6.31\t-0.2928\t0.0687\t0.3615\t19.0002\t0.021375\t\
-76.404702\t-76.401867\t-76.400922\t-76.422349\t6.002\t
O\t-0.0343604951\t 0.9775395708\t 0.0076015923\t-0.589706
H\t 0.0647664923\t 0.0205721989\t 1.5346341*^-3\t 0.294853
H\t 0.8717903737\t 1.3007924048\t 0.0006931336\t 0.294853
1671.4618\t3803.6305\t3907.698
O\tO
InChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2
"""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Small files as the public ones, on this machine; those of known checksums with theirs."""
    home = tmp_path / "home"
    home.mkdir()
    with tarfile.open(home / "rmd17.tar.bz2", "w:bz2") as tar:
        for name in ("ethanol", "aspirin"):
            stored = io.BytesIO()
            np.savez(
                stored,
                nuclear_charges=np.array([8, 1, 1], dtype=np.uint8),
                coords=np.random.default_rng(0).normal(size=(20, 3, 3)),
                energies=np.arange(20.0),
                forces=np.ones((20, 3, 3)),
            )
            added(tar, f"rmd17/npz_data/rmd17_{name}.npz", stored.getvalue())
    with tarfile.open(home / "dsgdb9nsd.xyz.tar.bz2", "w:bz2") as tar:
        for k in range(6):
            added(tar, f"dsgdb9nsd_{k:06}.xyz", QM9.encode())
    cell = 'Lattice="20 0 0 0 20 0 0 0 20" Properties=species:S:1:pos:R:3:force:R:3 TotEnergy=-17.2'
    atoms = "O 1 0 0 0.1 0 0\nH 2 1 0 0 0 0\nH 0 1 0 0 0 0\n"
    (home / "dataset_1593.xyz").write_text(f"3\n{cell}\n{atoms}" * 4)
    meshes(tmp_path / "ModelNet10")
    with zipfile.ZipFile(home / "ModelNet10.zip", "w") as file:
        for path in sorted((tmp_path / "ModelNet10").rglob("*.*")):
            file.write(path, path.relative_to(tmp_path))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(home)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    there = f"http://127.0.0.1:{server.server_port}"
    for name, one in list(DOWNLOADS.items()):
        path, checksum = home / one.file, one.checksum
        if checksum and path.exists():
            kind = checksum.partition(":")[0]
            checksum = f"{kind}:{hashlib.new(kind, path.read_bytes()).hexdigest()}"
        monkeypatch.setitem(
            DOWNLOADS, name, replace(one, url=f"{there}/{one.file}", checksum=checksum)
        )
    monkeypatch.setenv("SYMMETRIZE_DOWNLOADS", str(tmp_path / "kept"))
    yield home
    server.shutdown()
    server.server_close()


SMALL = {"train": 2, "validation": 1, "test": 1}


def test_rmd17(served: Path) -> None:
    choice = DataChoice(set="rMD17", options={"molecule": "aspirin"}, **SMALL)
    data = data_of(choice)
    assert len(data.structures) == 4
    energies = [float(one.energy) / KILOCALORIE for one in data.structures]
    assert energies == pytest.approx([round(e) for e in energies])
    assert float(data.structures[0].forces[0, 0]) == pytest.approx(0.0433641)
    assert data.source.startswith("aspirin")
    with pytest.raises(ConfigurationError, match="one of ethanol, aspirin"):
        data_of(replace(choice, options={"molecule": "water"}))


def test_qm9(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "MOLECULES", 6)
    data = data_of(DataChoice(set="QM9", targets={"energy": "", "gap": ""}, **SMALL))
    (one, *_), number = data.structures, len(data.structures)
    assert number == 4
    assert float(one.energy) == pytest.approx(-76.404702 * HARTREE)
    assert float(one.gap) == pytest.approx(0.3615 * HARTREE)
    assert float(one.pos[1, 2]) == pytest.approx(1.5346341e-3)
    assert one.z.tolist() == [8, 1, 1]


def test_water(served: Path) -> None:
    data = data_of(DataChoice(set="water", **SMALL))
    one = data.structures[0]
    assert float(one.cell[0, 0, 0]) == pytest.approx(20 * BOHR)
    assert float(one.energy) == pytest.approx(-17.2 * HARTREE)
    assert float(one.forces[0, 0]) == pytest.approx(0.1 * HARTREE / BOHR)


def test_modelnet(served: Path) -> None:
    data = data_of(DataChoice(set="ModelNet10", points=40))
    assert (len(data.structures), len(data.test)) == (4, 2)
    # and once more from what is unpacked
    assert len(data_of(DataChoice(set="ModelNet10", points=40)).test) == 2


def test_another_file_is_refused(served: Path) -> None:
    data_of(DataChoice(set="water", **SMALL))  # its checksum is remembered
    kept = downloads.downloads_folder() / "dataset_1593.xyz"
    kept.unlink()
    path = served / "dataset_1593.xyz"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(ConfigurationError, match="not what it was"):
        data_of(DataChoice(set="water", **SMALL))
    (served / "rmd17.tar.bz2").write_bytes(b"another")
    with pytest.raises(ConfigurationError, match="not what it was"):
        data_of(DataChoice(set="rMD17", **SMALL))


def test_without_a_network(served: Path) -> None:
    (served / "ModelNet10.zip").unlink()
    with pytest.raises(ConfigurationError, match="Fetch it yourself and put it at"):
        data_of(DataChoice(set="ModelNet10"))
