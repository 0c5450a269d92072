"""Accepting connections: listening sockets, and who may come in."""
