"""Settings: the name, mesh, home folder and ports of a node.

config.py checks what a node is started with; home.py has its key and identity, home_files.py reads and writes JSON files of a
home, kept_peers.py keeps its static addresses, home_lock.py keeps a second node out; paths.py has the names of shared files.
"""
