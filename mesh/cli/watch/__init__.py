"""Commands that show how a node and its network are doing."""
