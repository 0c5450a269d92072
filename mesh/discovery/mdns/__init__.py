"""Discovery by mDNS (RFC 6762, RFC 6763) on the network interfaces of this machine.

- mdns.py: MdnsDiscovery, which announces this node and keeps the sockets on the network. hearing.py: it hears other nodes.
- instances.py: limits on what is reported. txt_record.py: the content of an announcement.
- interfaces.py, scan.py, network_watch.py: the interfaces of the machine, and their changes. multicast_sockets.py: the sockets.
- candidates.py: which announced addresses are dialled. query_schedule.py: when to query.
"""
