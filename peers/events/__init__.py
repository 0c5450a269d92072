"""Values: an event, its identity, its labels, and who has which events."""
