"""The gateway to a Logux server."""
