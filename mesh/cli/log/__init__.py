"""`mesh log`: its options, what it prints, and how it reads the log of a stopped node."""
