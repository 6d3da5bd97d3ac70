"""Bytes to headers and back: IPv4, IPv6, TCP. Knows the engine's Segment, Outgoing and DropReason, nothing else of synfin."""
