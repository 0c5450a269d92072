"""Discovery by mDNS on the network interfaces of this machine."""
