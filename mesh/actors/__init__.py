"""Actors: the node supervisor and the children that it starts, watches and restarts."""
