"""The command line: each command reads its options and talks to a node or to the files of its home."""
