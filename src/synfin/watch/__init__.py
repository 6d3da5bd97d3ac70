"""Seeing a SYN flood: samples of sockets from three sources, one verdict over them, and its views."""
