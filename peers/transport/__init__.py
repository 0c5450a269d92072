"""Transports: connections that carry frames, and how they are opened, raced and reopened."""
