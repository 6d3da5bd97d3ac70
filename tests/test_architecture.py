"""The house's rules that imports and shapes can show: who may know whom, and what a module looks like.

Reads the source, imports nothing of it.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "synfin"

# Package (or module at the top) -> what it may import of synfin, itself apart. From the ground up; an arrow points at
# what stands above it in this list, never below.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "words": (),
    "engine": (),
    "wire": ("engine.segment", "engine.errors"),
    "device": ("wire", "engine"),
    "stack": ("device", "wire", "engine"),
    "sockets": ("stack", "device", "wire", "engine"),
    "host": ("device", "wire", "engine"),
    "control": ("sockets", "stack", "device", "wire", "engine"),
    "trace": ("wire", "engine", "words"),
    "aio": ("control", "sockets", "stack", "device", "wire", "engine"),
    "sim": ("aio", "trace", "sockets", "stack", "device", "wire", "engine", "words"),
    "channels": ("sockets", "engine.errors", "words"),
    "capture": ("trace", "wire", "engine", "words"),
    "watch": ("capture", "control", "sockets", "stack", "wire", "engine", "words"),
    "packetdrill": ("capture", "sim", "aio", "trace", "sockets", "stack", "device", "wire", "engine", "words"),
    "scenarios": ("channels", "sim", "aio", "trace", "sockets", "stack", "device", "wire", "engine", "words"),
    "testing": ("sim", "aio", "trace", "sockets", "stack", "device", "wire", "engine", "words"),
    "lab": ("scenarios", "channels", "sim", "aio", "trace", "sockets", "stack", "device", "wire", "engine", "words"),
    "cli": (
        "lab", "packetdrill", "watch", "capture", "channels", "scenarios", "sim", "aio", "control", "host", "trace",
        "sockets", "stack", "device", "wire", "engine", "words",
    ),
}

# No clock, no randomness, no I/O.
PURE = ("engine", "wire")
FORBIDDEN_IN_PURE = (
    "asyncio", "datetime", "logging", "multiprocessing", "os", "random", "secrets", "select", "selectors", "socket",
    "subprocess", "threading", "time",
)  # fmt: skip

# The core needs nothing installed; what is used where it happens to be is imported inside a function.
OPTIONAL = {"wire": ("numpy",)}
NEEDS_EXTRAS = ("cli", "testing", "host", "watch")

MODULES = sorted(SOURCE.rglob("*.py"))
LONGEST_MODULE = 500


def layer(path: Path) -> str:
    """The package, or the top module, that `path` belongs to; empty for synfin/__init__.py."""
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py").removeprefix("__init__")


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module named in an import below `tree`; `from synfin import words` counts as `synfin.words`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(tree: ast.AST) -> list[str]:
    """What `tree` imports of synfin, without the first word."""
    return [name.removeprefix("synfin.") for name in imports(tree) if name.startswith("synfin.")]


def allowed(name: str, permitted: tuple[str, ...]) -> bool:
    # `from synfin.engine import segment` names engine and engine.segment: the package alone says nothing yet.
    return any(name == p or name.startswith(p + ".") or p.startswith(name + ".") for p in permitted)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def arrows_up(package: str, tree: ast.AST) -> list[str]:
    """The imports in `tree` that `package` has no right to."""
    permitted = (package, *MAY_IMPORT[package])
    return [name for name in own_imports(tree) if not allowed(name, permitted)]


def names_of(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(SOURCE)) for path in paths]


def test_every_package_has_its_place_among_the_layers() -> None:
    assert {layer(path) for path in MODULES} - {""} <= set(MAY_IMPORT)


def test_the_layers_themselves_have_no_arrow_up() -> None:
    order = list(MAY_IMPORT)
    for package, below in MAY_IMPORT.items():
        for name in below:
            assert order.index(name.split(".")[0]) < order.index(package), f"{package} -> {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if layer(p)], ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_import_points_up_the_layers(path: Path) -> None:
    assert arrows_up(layer(path), parse(path)) == []


@pytest.mark.parametrize(
    ("package", "line", "found"),
    [
        ("engine", "from synfin.wire.tcp import parse_tcp", ["wire.tcp", "wire.tcp.parse_tcp"]),
        ("wire", "import synfin.engine.connection", ["engine.connection"]),
        ("wire", "from synfin.engine import segment, state", ["engine.state"]),
        ("trace", "import synfin.sim.world", ["sim.world"]),
        ("sim", "from synfin.trace.recorder import Trace", []),
        ("wire", "from synfin.engine.segment import Segment", []),
    ],
)
def test_an_arrow_up_is_seen(package: str, line: str, found: list[str]) -> None:
    assert arrows_up(package, ast.parse(line)) == found


@pytest.mark.parametrize("package", PURE)
def test_a_pure_layer_has_no_clock_no_randomness_and_no_io(package: str) -> None:
    found = {
        str(path.relative_to(SOURCE)): name
        for path in MODULES
        if layer(path) == package
        for name in imports(parse(path))
        if name.split(".")[0] in FORBIDDEN_IN_PURE
    }
    assert found == {}


def foreign_imports(path: Path) -> list[str]:
    """What `path` imports from beyond the standard library and synfin, what is optional inside a function apart."""
    tree = parse(path)
    inside_functions = [
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for name in imports(node)
        if name.split(".")[0] in OPTIONAL.get(layer(path), ())
    ]
    known = (*sys.stdlib_module_names, "synfin", *(name.split(".")[0] for name in inside_functions))
    return [name for name in imports(tree) if name.split(".")[0] not in known]


def test_the_core_imports_nothing_that_has_to_be_installed() -> None:
    found = {str(p.relative_to(SOURCE)): foreign_imports(p) for p in MODULES if layer(p) not in NEEDS_EXTRAS}
    assert {path: names for path, names in found.items() if names} == {}


def test_every_module_says_what_it_owns() -> None:
    silent = [path for path in MODULES if parse(path).body and not ast.get_docstring(parse(path))]
    assert names_of(silent) == []


def test_no_module_has_two_owners() -> None:
    long = [path for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_MODULE]
    assert names_of(long) == []


MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MAKERS = ("list", "dict", "set", "bytearray", "deque", "defaultdict", "Counter", "OrderedDict")


def mutable_state(tree: ast.Module) -> list[str]:
    """Names at the top of a module that something could change: a container not marked Final, or a `global`."""
    found = [name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names]
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets, value, final = node.targets, node.value, False
        elif isinstance(node, ast.AnnAssign):
            targets, value, final = [node.target], node.value, "Final" in ast.unparse(node.annotation)
        else:
            continue
        made = isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[-1] in MAKERS
        names = [ast.unparse(target) for target in targets]
        if (made or isinstance(value, MUTABLE)) and not final and names != ["__all__"]:
            found += names
    return found


def test_no_module_keeps_state() -> None:
    found = {str(path.relative_to(SOURCE)): mutable_state(parse(path)) for path in MODULES}
    assert {path: names for path, names in found.items() if names} == {}
