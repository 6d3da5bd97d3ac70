"""docs/conformance.md and its tests; `python -m tests.rfc.conformance` writes its last part, the tests by clause, anew."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "conformance.md"
HERE = ROOT / "tests" / "rfc"
BEGIN = "<!-- written by python -m tests.rfc.conformance -->"


def functions(path: Path) -> Iterator[tuple[str, str]]:
    """Name and docstring of each test in `path`, in its order."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name, ast.get_docstring(node) or ""


def by_clause() -> list[str]:
    """The last part of the page: each file of tests/rfc with its tests and the clause that each cites."""
    lines = []
    for path in sorted(HERE.glob("test_*.py")):
        if path.name == "test_conformance.py":
            continue
        title = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]
        lines += ["", f"### {title.rstrip('.')}", "", f"`tests/rfc/{path.name}`", "", "| what holds | clause |", "|---|---|"]
        for name, docstring in functions(path):
            clause = " ".join(docstring.split()).replace("|", "\\|").replace("<", "&lt;")
            lines.append(f"| {name.removeprefix('test_').replace('_', ' ')} | {clause} |")
    return lines


def written() -> tuple[str, list[str]]:
    """The page as it lies there: what was written by hand, and the lines of its last part."""
    head, _, tail = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return head, tail.rstrip().splitlines()[1:]


def main() -> None:
    head, _ = written()
    PAGE.write_text(head + BEGIN + "\n" + "\n".join(by_clause()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
