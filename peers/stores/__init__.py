"""Stores: the port, the rules of appending and cleaning, and the store in memory."""
