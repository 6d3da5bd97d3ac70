"""What a running synfin can be asked: JSON lines over a Unix socket that only its owner can reach."""
