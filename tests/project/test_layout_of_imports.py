"""The house as its imports build it: they run one way, and in no circle.

Every module is parsed, and imports inside functions count as those on top: they run later, and are
arrows all the same. What stands under ``if TYPE_CHECKING:`` never runs, and does not count. An
import of a module is not one of the packages around it, although Python runs these first.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Graph = dict[str, set[str]]

# Rooms of a package, one floor a line: a module imports from its own room and from floors below.
# The name of the package is its public face, what `__init__` exports.
FLOORS = {
    "symmetrize": """
    extras returned arrays groups chunks
    representation
    plain points
    frames data
    outputs
    declaration
    arguments
    contract
    network
    scopes derivatives
    average atoms datasets hessians
    symmetrizer
    settings weights calculator engines drawing
    symmetrize
    provenance
    demo
    __main__
""",
    "equivariance_tests": """
    clouds
    report
    model
    measure
    checks
    mutants
    certification
    assertions
    equivariance_tests
    suite
    __main__
""",
}

# Whom each package may know, and by which modules: whatever these export is public.
FACE = {
    "symmetrize",
    "symmetrize.arrays",
    "symmetrize.datasets",
    "symmetrize.extras",
    "symmetrize.frames",
    "symmetrize.groups",
    "symmetrize.declaration",
    "symmetrize.outputs",
    "symmetrize.plain",
    "symmetrize.provenance",
    "symmetrize.representation",
    "symmetrize.settings",
}
NETWORKS = {"backbones", "backbones.adapters", "backbones.atomistic"}
NETWORKS |= {"backbones.adapters.connect"}  # the function, in a file of its name
NETWORKS |= {"backbones.adapters.metatomic"}  # which imports metatomic
KNOWS: dict[str, set[str]] = {
    "symmetrize": set(),
    "backbones": FACE,
    "equivariance_tests": FACE | NETWORKS,
    # the plugin is a part of equivariance_tests that pytest finds by its name
    "pytest_equivariance": FACE | {"equivariance_tests", "equivariance_tests.certification"},
}

# Arrows that run up or close a circle still, and why: whoever mends one takes it from the list.
NOT_YET: dict[str, str] = {
    "backbones.checkpoint -> backbones": "finds a class by its name among those it exports",
}


def modules(root: Path, packages: list[str]) -> dict[str, Path]:
    """Every module by its full name; a package is the module of its ``__init__``."""
    found = {}
    for package in packages:
        alone = root / f"{package}.py"
        for path in [alone] if alone.is_file() else (root / package).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def running(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it, but for what only type checkers read."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from running(other)
        else:
            yield from running(child)


def imported(source: str, name: str, is_package: bool) -> Iterator[str]:
    """Full names of what a module imports: modules, and names that may be modules."""
    for node in running(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                around = name.split(".")[: len(name.split(".")) - node.level + is_package]
                base = ".".join([*around, *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant))


def graph(root: Path, packages: list[str]) -> Graph:
    """Which modules each module imports: ours by full name, of others the first part."""
    known = modules(root, packages)

    def module(name: str) -> str:
        while name not in known and "." in name:
            name = name.rpartition(".")[0]
        return name

    return {
        name: {
            module(target) for target in imported(path.read_text(), name, path.stem == "__init__")
        }
        - {name}
        for name, path in known.items()
    }


def circles(arrows: Graph) -> list[frozenset[str]]:
    """Sets of modules each of which imports, by way of others, all of the same set."""
    reached: dict[str, set[str]] = {}
    for start in arrows:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = {target for target in arrows[waiting.pop()] if target in arrows} - seen
            seen |= new
            waiting += new
        reached[start] = seen
    found = {
        frozenset(other for other in reached[name] if name in reached[other])
        for name in arrows
        if name in reached[name]
    }
    return sorted(found, key=sorted)


def between_packages(arrows: Graph, knows: dict[str, set[str]]) -> list[str]:
    """Imports from one package into another that it may not know, or not by that module."""
    return [
        f"{name} -> {target}"
        for name, targets in sorted(arrows.items())
        for target in sorted(targets)
        if (top := target.partition(".")[0]) != (own := name.partition(".")[0])
        and top in {*knows, "benchmarks", "tests"}
        and target not in knows[own]
    ]


def upward(arrows: Graph, package: str, floors: str) -> list[str]:
    """Imports between two rooms of one package that do not go down."""
    floor = {
        room: height
        for height, line in enumerate(floors.strip().splitlines())
        for room in line.split()
    }

    def room(name: str) -> str:
        return name.split(".")[1] if "." in name else name

    inside = {name: targets for name, targets in arrows.items() if name.split(".")[0] == package}
    missing = {room(name) for name in inside} - set(floor)
    assert not missing, f"rooms without a floor: {sorted(missing)}"
    return [
        f"{name} -> {target}"
        for name, targets in sorted(inside.items())
        for target in sorted(targets)
        if target in inside
        and room(name) != room(target)
        and floor[room(target)] >= floor[room(name)]
    ]


@pytest.fixture(scope="module")
def house() -> Graph:
    return graph(ROOT, list(KNOWS))


def wrong(arrows: Graph) -> list[str]:
    up = [arrow for package, floors in FLOORS.items() for arrow in upward(arrows, package, floors)]
    return between_packages(arrows, KNOWS) + up


def test_no_imports_in_a_circle(house: Graph) -> None:
    rest = {
        name: {target for target in targets if f"{name} -> {target}" not in NOT_YET}
        for name, targets in house.items()
    }
    assert circles(rest) == []


def test_imports_go_down(house: Graph) -> None:
    assert [arrow for arrow in wrong(house) if arrow not in NOT_YET] == []


def test_what_is_mended_is_taken_from_the_list(house: Graph) -> None:
    closing = {
        f"{name} -> {target}"
        for circle in circles(house)
        for name in circle
        for target in house[name] & circle
    }
    assert set(NOT_YET) - closing - set(wrong(house)) == set()


# --- mutants: houses that are built wrongly


def build(root: Path, sources: dict[str, str]) -> Graph:
    for name, source in sources.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return graph(root, sorted({name.partition("/")[0].removesuffix(".py") for name in sources}))


CIRCLES = {
    "on top": "from house.above import roof",
    "inside a function": "def late():\n    from house.above import roof",
    "by the package": "from house import above",
    "relative": "from . import above",
    "relative, by name": "from .above import roof",
    "by a string": "import importlib\nabove = importlib.import_module('house.above')",
    "in the branch that runs": "if TYPE_CHECKING:\n    pass\nelse:\n    import house.above",
}


@pytest.mark.parametrize("source", CIRCLES.values(), ids=CIRCLES)
def test_mutant_a_circle(source: str, tmp_path: Path) -> None:
    sound = {"house/__init__.py": "", "house/above.py": "import house.middle"}
    middle = {"house/middle.py": "from house.below import floor", "house/below.py": ""}
    assert circles(build(tmp_path, sound | middle)) == []
    found = circles(build(tmp_path, sound | middle | {"house/below.py": source}))
    assert found == [frozenset({"house.above", "house.middle", "house.below"})]


@pytest.mark.parametrize("test", ["TYPE_CHECKING", "typing.TYPE_CHECKING"])
def test_what_never_runs_makes_no_circle(test: str, tmp_path: Path) -> None:
    below = f"if {test}:\n    from house.above import Roof"
    sources = {"house/__init__.py": "", "house/above.py": "import house.below"}
    assert circles(build(tmp_path, sources | {"house/below.py": below})) == []


ROOMS = "below\nmiddle beside\nabove"
UPWARD = {
    "to a higher floor": ("house/below.py", "import house.above", "house.below -> house.above"),
    "from within a room": (
        "house/middle/inner.py",
        "def late():\n    from house.above import roof",
        "house.middle.inner -> house.above",
    ),
    "along a floor": ("house/beside.py", "import house.middle", "house.beside -> house.middle"),
}


@pytest.mark.parametrize(("path", "source", "arrow"), UPWARD.values(), ids=UPWARD)
def test_mutant_an_arrow_that_runs_up(path: str, source: str, arrow: str, tmp_path: Path) -> None:
    sound = {
        "house/middle/__init__.py": "from house.middle import inner\nimport house.below",
        "house/middle/inner.py": "",
        "house/below.py": "import torch",
        "house/beside.py": "",
        "house/above.py": "from house import below, middle",
    }
    assert upward(build(tmp_path, sound), "house", ROOMS) == []
    assert upward(build(tmp_path, sound | {path: source}), "house", ROOMS) == [arrow]


def test_mutant_a_room_without_a_floor(tmp_path: Path) -> None:
    arrows = build(tmp_path, {"house/below.py": "", "house/cellar.py": ""})
    with pytest.raises(AssertionError, match=r"without a floor: \['cellar'\]"):
        upward(arrows, "house", ROOMS)


ACROSS = {
    "beneath a public face": ("garden/tree.py", "from house.cellar import wine", "house.cellar"),
    "to who stands above": ("house/cellar.py", "def late():\n    import garden", "garden"),
    "to a test": ("house/cellar.py", "from tests.common import laws", "tests"),
    "to a benchmark": ("garden/tree.py", "import benchmarks.cost", "benchmarks"),
}


@pytest.mark.parametrize(("path", "source", "target"), ACROSS.values(), ids=ACROSS)
def test_mutant_an_import_across_packages(
    path: str, source: str, target: str, tmp_path: Path
) -> None:
    knows: dict[str, set[str]] = {"house": set(), "garden": {"house"}}
    sound = {
        "house/__init__.py": "from house.cellar import wine",
        "house/cellar.py": "wine = 1",
        "garden/__init__.py": "",
        "garden/tree.py": "from house import wine",
    }
    assert between_packages(build(tmp_path, sound), knows) == []
    name = path.removesuffix(".py").replace("/", ".")
    found = between_packages(build(tmp_path, sound | {path: source}), knows)
    assert found == [f"{name} -> {target}"]
