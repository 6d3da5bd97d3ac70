"""Tests of synfin.trace and synfin.words."""
