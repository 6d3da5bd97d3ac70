"""One TCP connection, RFC 9293: pure. No I/O, no clock, no randomness of its own; `now` is always an argument."""
