"""The roles between nodes in a simulated cluster: one that is watched, and one that breaks the rules."""
