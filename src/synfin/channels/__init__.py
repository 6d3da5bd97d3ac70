"""Messages over TCP: framing, the life of a connection, exchange, direction and liveness."""
