"""Commands that watch a node and its mesh."""
