"""Rows, their budgets, the machine: as a table in 80 columns and as JSON. Knows nothing of what is measured."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

LESS: Final = "<="  # the budget is an upper bound: time, memory
MORE: Final = ">="  # a lower bound: rates


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One result. `value` is the median, `best` the best of the repeats, both in `unit`; a budget of None: for information."""

    name: str
    value: float
    best: float
    unit: str
    bound: str = LESS
    budget: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the budget; None without one."""
        if self.budget is None:
            return None
        return self.value <= self.budget if self.bound == LESS else self.value >= self.budget


def repeat(measure: Callable[[], float], times: int, bound: str) -> tuple[float, float]:
    """Median and best of so many runs of `measure`."""
    results = [measure() for _ in range(times)]
    return statistics.median(results), (min if bound == LESS else max)(results)


def seconds(run: Callable[[], object]) -> float:
    """How long one `run` takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    model = clock = ""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                model = model or value.strip()
            elif name.strip() == "cpu MHz":
                clock = clock or f"{float(value):.0f} MHz"
    except OSError:
        model = platform.processor()
    return {
        "cpu": model,
        "clock": clock,
        "cores": os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}",
    }


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"


def heading() -> str:
    """The machine, and the table's head."""
    about = machine()
    return (
        f"{about['cpu']}, {about['clock']}, {about['cores']} cores, {about['python']}, {about['system']}\n\n"
        f"{'':<50}{'median':>10}{'best':>10}  {'budget':>9}\n"
    )


def line(row: Row) -> str:
    """One row of the table."""
    budget, verdict = "", ""
    if row.budget is not None:
        budget = f"{row.bound} {_number(row.budget)}"
        verdict = "met" if row.met else "NOT MET"
    name = f"{row.name}, {row.unit}"
    return f"{name:<50}{_number(row.value):>10}{_number(row.best):>10}  {budget:>9}  {verdict}".rstrip()


def write_json(rows: Sequence[Row], path: Path) -> None:
    """All rows with the machine; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    results = [{**asdict(row), "met": row.met} for row in rows]
    path.write_text(json.dumps({"machine": machine(), "rows": results}, indent=2) + "\n", encoding="utf-8")
