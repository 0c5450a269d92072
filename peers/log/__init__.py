"""The log: one log over one store."""
