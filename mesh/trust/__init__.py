"""Whose keys count in a mesh: codes, certificates, and what founds it."""
