"""Gateways: sessions with those who are not nodes, Logux clients and Logux servers."""
