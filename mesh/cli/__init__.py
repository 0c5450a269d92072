"""The command line: each command reads its options, and asks a running node or reads the files of its home."""
