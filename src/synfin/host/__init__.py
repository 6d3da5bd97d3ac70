"""The machine's side of a TUN: the network namespace, addresses and routes, and the process that holds them."""
