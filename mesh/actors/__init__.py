"""Actors: the supervisor of a node, and the children that it starts, watches and restarts."""
