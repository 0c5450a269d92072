"""Checks of a store's file against itself."""
