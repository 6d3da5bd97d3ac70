"""Reading captures: packets of a pcap or pcapng file, and the handshakes among them."""
