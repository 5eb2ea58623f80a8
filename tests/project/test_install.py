"""What is said of installing: one name of the distribution, and extras that bring what they say."""

import ast
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

import symmetrize
from equivariance_tests import Contract, Report
from symmetrize.extras import DISTRIBUTION, install, needed_for
from symmetrize.provenance import versions

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PACKAGES = ("symmetrize", "backbones", "equivariance_tests")
SOURCES = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
SOURCES.append(ROOT / "pytest_equivariance.py")


def texts() -> list[Path]:
    """What people read: sources, pages, settings."""
    kinds = {".py", ".md", ".toml", ".txt", ".cff", ".in", ""}
    folders = ["backbones", "benchmarks", "docs", "equivariance_tests", "scripts", "symmetrize"]
    found = [path for folder in [*folders, "tests", ".ci"] for path in (ROOT / folder).rglob("*")]
    found += list(ROOT.iterdir())
    return [path for path in found if path.is_file() and path.suffix in kinds]


# --- the name

# "symmetrize" where pip would read it as a distribution: another project has that name
WRONG = re.compile(
    r"pip3? +install[^\n`;,]*?(?<![\w./-])symmetrize(?![\w./])"  # to be installed
    r"|(?<![\w./-])symmetrize\["  # with extras
    r"|(?<![\w./-])symmetrize *(?:[=~!<>]=|[<>@])=? *\d"  # with a version
)


def said_wrongly(text: str) -> list[str]:
    return [match.group() for match in WRONG.finditer(text)]


def test_no_text_asks_pip_for_another_project():
    offenders = {
        str(path.relative_to(ROOT)): found
        for path in texts()
        if path != Path(__file__) and (found := said_wrongly(path.read_text(errors="ignore")))
    }
    assert offenders == {}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`pip install symmetrize[certify]`", True),
        ("pip install -U 'symmetrize'", True),
        ("test = ['symmetrize[demo,certify]']", True),
        ("needs symmetrize>=0.1", True),
        ("pip install 'torch-symmetrize[certify]'", False),
        ("pip install torch-symmetrize", False),
        ("pip install ./symmetrize.whl, from symmetrize import Symmetrizer", False),
        ("python -m symmetrize demo", False),
    ],
)
def test_mutants_of_the_name_are_seen(text, wrong):
    assert bool(said_wrongly(text)) == wrong


def test_the_distribution_has_that_name():
    assert PROJECT["name"] == DISTRIBUTION
    assert DISTRIBUTION in (ROOT / "README.md").read_text()


def test_the_version_is_said_once():
    assert PROJECT["version"] == symmetrize.__version__
    assert f"\nversion: {symmetrize.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_numbers_are_of_the_sources_that_ran():
    """Whatever is installed, and under whatever name."""
    assert versions()["symmetrize"] == symmetrize.__version__


# --- the extras


def test_extras_that_are_named_exist():
    named = {
        extra.strip()
        for path in texts()
        for group in re.findall(rf"{DISTRIBUTION}\[([\w, ]+)\]", path.read_text(errors="ignore"))
        for extra in group.split(",")
    }
    assert named <= set(EXTRAS)
    assert {"certify", "atomistic", "test", "check"} <= named


# Distributions by the modules that they bring, where the names differ
DISTRIBUTIONS = {
    "metatensor": "metatomic-torch",
    "metatomic": "metatomic-torch",
    "torch_sim": "torch-sim-atomistic",
}
ALWAYS = {"torch", "torch_geometric", "e3nn", "numpy", "safetensors", "scipy", "jaxtyping"}
OURS = {"symmetrize", "backbones", "equivariance_tests", "pytest_equivariance"}

# Optional modules that need no message of their own, and why
UNGUARDED = {
    "symmetrize/atoms/": "the public functions say so before they call others",
    "symmetrize/demo/": "the package says so before it imports these",
    "equivariance_tests/__init__.py": "says so itself, with an exit status for the shell",
    "equivariance_tests/checks/history.py": "the package says so before it imports this",
    "equivariance_tests/measure/walk.py": "the package says so before it imports this",
    "equivariance_tests/clouds/strategies.py": "the package says so before it imports this",
    "equivariance_tests/certification/terminal.py": "plain text without rich",
    "equivariance_tests/model/calculators.py": "who has a calculator has ase",
    "pytest_equivariance.py": "pytest runs it; without Hypothesis there is no profile to choose",
}


def optional_imports(source: str) -> Iterator[tuple[str, str | None]]:
    """Modules that are neither ours nor always there, each with the extra of its block, if any."""

    def walk(node: ast.AST, extra: str | None) -> Iterator[tuple[str, str | None]]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.With):
            calls = [item.context_expr for item in node.items]
            extras = [
                ast.literal_eval(call.args[1])
                for call in calls
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "needed_for"
            ]
            extra = extras[0] if extras else extra
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [str(node.module)]
        for name in names:
            top = name.partition(".")[0]
            if top not in ALWAYS | OURS | {"pytest", "typing_extensions"} | sys.stdlib_module_names:
                yield top, extra
        for child in ast.iter_child_nodes(node):
            yield from walk(child, extra)

    yield from walk(ast.parse(source), None)


def brings(extra: str, module: str) -> bool:
    """Whether the extra, perhaps by way of others, has the distribution of the module."""
    wanted = DISTRIBUTIONS.get(module, module)
    return any(re.split(r"[\[<>=! ]", line)[0] == wanted for line in EXTRAS.get(extra, ()))


def test_what_is_optional_says_how_it_is_installed():
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        if any(name.startswith(known) for known in UNGUARDED):
            continue
        for module, extra in optional_imports(path.read_text()):
            assert extra is not None, f"{name}: import {module} in `with needed_for(..., extra):`"
            assert brings(extra, module), f"{name}: the extra {extra} does not bring {module}"


def test_exceptions_are_still_there():
    for name in UNGUARDED:
        files = [path for path in SOURCES if str(path.relative_to(ROOT)).startswith(name)]
        assert any(list(optional_imports(path.read_text())) for path in files), name


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import rich", [("rich", None)]),
        ("def f():\n    from ase.io import read", [("ase", None)]),
        ("with needed_for('it', 'demo'):\n    import rich.text", [("rich", "demo")]),
        ("if TYPE_CHECKING:\n    import ase", []),
        ("import torch, json, symmetrize", []),
    ],
)
def test_mutants_of_imports_are_seen(source, found):
    assert list(optional_imports(source)) == found


def test_mutant_an_extra_without_the_module():
    assert brings("demo", "rich")
    assert not brings("neighbors", "rich")
    assert not brings("no such extra", "rich")


# --- the messages


def crystal() -> None:
    symmetrize.neighbor_list(torch.zeros(1, 3), 2.0, cell=torch.eye(3)[None])


def checkpoint() -> None:
    from backbones.atomistic import loading

    loading.checkpoint(Path("model.ckpt"))


def figure() -> None:
    from equivariance_tests.report.figure import draw

    draw(Report("a model", Contract("0e"), []), Path("figure.png"))


# For each: what is missing, what asks for it, and the extra that brings it
MISSING = {
    "periodic structures": ("vesin", crystal, "neighbors"),
    "data from ase": ("ase", lambda: symmetrize.from_ase([]), "ase"),
    "data for ase": ("ase", lambda: symmetrize.to_ase(Data(pos=torch.zeros(0, 3))), "ase"),
    "demo": ("rich", "symmetrize.demo", "demo"),
    "figure of the demo": ("matplotlib", "symmetrize.demo", "demo"),
    "figure of a report": ("matplotlib", figure, "certify"),
    "certification": ("hypothesis", "equivariance_tests", "certify"),
    "models of metatomic": ("metatomic", "backbones.atomistic.libraries", "atomistic"),
    "checkpoints of metatrain": ("metatrain", checkpoint, "atomistic"),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_module_is_answered_with_the_command_that_installs_it(name, monkeypatch):
    module, ask, extra = MISSING[name]
    for known in [known for known in sys.modules if known.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, known)
    monkeypatch.setitem(sys.modules, module, None)  # not found, whatever is installed
    if isinstance(ask, str):  # on import
        for known in [known for known in sys.modules if known.startswith(ask)]:
            monkeypatch.delitem(sys.modules, known)
    with pytest.raises(ModuleNotFoundError, match=re.escape(install(extra))) as caught:
        importlib.import_module(ask) if isinstance(ask, str) else ask()
    assert module in str(caught.value).lower()
    assert brings(extra, module)


def test_errors_of_another_kind_pass():
    with pytest.raises(ImportError, match="broken") as caught, needed_for("it", "demo"):
        raise ImportError("broken")
    assert not isinstance(caught.value, ModuleNotFoundError)


# --- the README, here and on a package index

README = (ROOT / "README.md").read_text()
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def for_an_index(readme: str, source: str | None) -> str:
    spec = importlib.util.spec_from_file_location("setup_of_the_project", ROOT / "setup.py")
    setup = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(setup)
    return setup.for_an_index(readme, source)


def leading_nowhere(text: str) -> list[str]:
    """Targets that are files of the repository, outside of code."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [target for target in LINK.findall(prose) if not target.startswith(("https://", "#"))]


def test_files_that_the_readme_names_are_there():
    assert all((ROOT / target).is_file() for target in leading_nowhere(README))


@pytest.mark.parametrize("source", [None, "https://example.org/us/it", "https://example.org/it/"])
def test_no_link_of_the_readme_leads_nowhere_on_an_index(source):
    shown = for_an_index(README, source)
    assert leading_nowhere(shown) == []
    if source is None:
        assert "Energy and other outputs along three paths: `docs/figures/demo.png`" in shown
        assert "certification" in shown
    else:
        source = source.rstrip("/")
        assert f"]({source}/raw/HEAD/docs/figures/demo.png)" in shown
        assert f"[certification]({source}/blob/HEAD/docs/certification.md)" in shown


def test_mutant_a_relative_link_is_seen():
    assert leading_nowhere(README)
    code = "```python\nmodel = wrap[net](data)\n```\n"
    assert leading_nowhere(code + "![a](b.png) [c](#d) [e](https://f)") == ["b.png"]
    assert for_an_index(code, None) == code


def test_urls_are_not_invented():
    """There is no public source yet: whoever adds one says so here, and in CITATION.cff."""
    assert all(url.startswith("https://") for url in PROJECT["urls"].values())
    assert ("Source" in PROJECT["urls"]) == (
        "repository-code:" in (ROOT / "CITATION.cff").read_text()
    )


def rows(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading of the README, cell by cell."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_readme_names_every_extra_and_what_it_brings():
    table = {extra: brings for extra, _, brings in rows("Install")}
    named = {name for row in table for name in re.findall(r"`(\w+)`", row)}
    assert named == set(EXTRAS)
    for extra in ("neighbors", "ase", "atomistic", "certify", "demo", "show"):
        required = {re.split(r"[<>=! ]", line)[0] for line in EXTRAS[extra]}
        assert set(table[f"`{extra}`"].split(", ")) == required


def test_every_line_of_the_readme_can_be_pasted():
    """With its imports, that of the wrapper, and a network of one's own called ``net``."""
    lines = [cell for row in rows("Install") for cell in re.findall(r"`(from [^`]+)`", row[1])]
    for line in lines:
        exec(line, {})
    table = rows("What can be wrapped")
    assert len(table) == 6
    for _, line, imports in table:
        names: dict = {"net": None, "calculator": None}
        exec("from symmetrize import Symmetrizer\nfrom torch_geometric.nn import SchNet", names)
        exec(imports.strip("|` "), names)
        code = compile(line.strip("`"), "README.md", "eval")
        assert set(code.co_names) <= set(names), line
