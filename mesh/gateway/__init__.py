"""Gateways: sessions with Logux clients, Logux servers and roles of your own, which are not nodes of the mesh."""
