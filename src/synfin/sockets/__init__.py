"""Socket-shaped objects on a stack: where programs meet synfin. Owns no packets and no clock."""
