"""Roles: who speaks first, and what the ends of a link remember of each other."""
