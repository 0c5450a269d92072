"""The gateway for Logux clients and browsers."""
