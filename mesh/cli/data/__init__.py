"""Commands that take events out of a log, bring them in, and check what a log holds."""
