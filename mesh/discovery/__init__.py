"""Discovery: how a node learns the addresses of other nodes.

port.py is the interface that a node uses; static.py finds no nodes, and mdns/ finds those that announce themselves on the LAN.
"""
