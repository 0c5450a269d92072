"""Joining a mesh: the door of the node that invites, and the way in of the one that joins."""
