"""Experiments on the simulated network: a table and a plot each."""
