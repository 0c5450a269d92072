"""TLS between nodes: the key that each end proves, and handshakes that strangers cannot make expensive."""
