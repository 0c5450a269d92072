"""The store of runs in an SQLite file."""
