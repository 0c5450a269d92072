"""Runs scenarios: the decorator, its command line, and the library of scenarios."""
