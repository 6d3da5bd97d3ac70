"""What a run leaves behind: typed events, and from them a pcapng file, a ladder and sentences in two languages."""
