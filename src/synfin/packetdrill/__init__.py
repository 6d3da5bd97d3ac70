"""packetdrill scripts: read, played against a stack in virtual time, judged and recorded."""
