"""What a node finds out about its clock, its links and its own port."""
