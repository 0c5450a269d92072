"""The control socket: requests of the command line to a running node, and the answers."""
