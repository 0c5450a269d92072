"""One hostile host of a few lines: what it does to the doors of a node, and what that costs an honest pair beside it."""
