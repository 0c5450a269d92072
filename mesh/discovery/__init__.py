"""Discovery: how a node learns the addresses of other nodes."""
