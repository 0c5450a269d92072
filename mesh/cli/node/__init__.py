"""The commands that run a node, and its configuration."""
