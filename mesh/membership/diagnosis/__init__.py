"""What is wrong with a node's network, clock, disk or identity, and what it says about that."""
