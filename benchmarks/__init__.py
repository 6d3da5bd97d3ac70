"""What synfin costs in time and memory: `make bench`, or `python -m benchmarks NAME ...` for some of it.

Each module measures one thing and returns rows; report.py prints them beside their budgets. Budgets are those of a 2.5 GHz
core with CPython 3.11, not compiled. Nothing here is a test: a machine may be slow.
"""
