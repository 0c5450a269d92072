"""Membership: pure decisions about other nodes; values in, actions out."""
