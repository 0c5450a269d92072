"""Codecs: bytes of the wire to typed messages and back, for each protocol."""
