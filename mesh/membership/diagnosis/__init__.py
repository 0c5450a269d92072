"""What is wrong with the network, a clock, the disk or the identity of a node, and the notices about it.

- black_holes.py: large packets do not get through. clocks.py: a wrong clock. store_trouble.py: a disk that fails.
- clones.py, runs.py: two machines run under one node id.
- contests.py: two links under one. other_meshes.py: nodes of other meshes on this network.
- unreachable.py: nodes that cannot be reached. rare_notices.py: a line for each cause and minute.
"""
