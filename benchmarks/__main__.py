"""`python -m benchmarks [--json FILE] [NAME ...]`: measure everything, or what is named."""

import argparse
import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import bulk, connections, cookies, echo, flood, memory, real, segment
from benchmarks.report import Row, heading, line, write_json

SUITES: dict[str, Callable[[], Iterator[Row]]] = {
    "segment": segment.rows,
    "bulk": bulk.rows,
    "echo": echo.rows,
    "connections": connections.rows,
    "cookies": cookies.rows,
    "memory": memory.rows,
    "real": real.rows,
    "flood": flood.rows,
}


def main() -> int:
    """Returns the exit status: 0 also where a budget is not met, for the table says so."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(SUITES)}; all by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in SUITES]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(SUITES)}")
    print(heading(), flush=True)
    results = []
    for name in options.names or SUITES:
        gc.collect()
        for row in SUITES[name]():
            results.append(row)
            print(line(row), flush=True)
    if options.json is not None:
        write_json(results, options.json)
        print(f"\nas JSON: {options.json}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
