"""A store that keeps epochs as runs: the rules, and the store in memory."""
