"""Tests of synfin.channels."""
