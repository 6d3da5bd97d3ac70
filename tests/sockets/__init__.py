"""Tests of synfin.sockets."""
