"""Benchmarks: what `mesh bench` measures."""

MEASURE_SECONDS = 300.0
"""Within which one measurement of real nodes must end."""
MIB = 1024 * 1024
EVENTS_PER_SECOND = 50
"""Of a node whose latency is measured, alone or during an attack."""
WORKLOADS = {
    "catch-up": (100_000, "An empty node gets the log of another one."),
    "catch-up-singles": (20_000, "The same with a log that was written by single adds."),
    "catch-up-turns": (20_000, "The same with a log to which five nodes added in turns."),
    "live": (20_000, "Single adds, 256 in flight, until all are visible at a connected node."),
    "line": (20_000, "The same over a third node between the two."),
    "batch": (50_000, "Adds in batches of 100, until all are visible at a connected node."),
    "latency": (500, "50 adds a second; how long each takes until a connected node shows it."),
    "mesh": (10_000, "Five connected nodes add at once, until each has all events."),
    "merge": (40_000, "Two nodes that wrote apart connect, until both have all events."),
    "appends": (20_000, "Single adds, 256 in flight, of a node alone."),
    "start": (1, "The start of a process until its node runs, in a new home."),
    "open": (100_000, "The same in a home with so many events."),
    "sessions": (50, "One add at a time to a node with 100 sessions; how long each takes until all got it."),
    "actors": (100_000, "A message that goes to and fro between two actors on one loop, and between two on threads."),
    "growth": (1_000_000, "Catch-up with a long log."),
}
"""What is measured with real nodes, by the name of its command: the usual number of events, and its help."""
TRUSTED = ("catch-up", "catch-up-singles", "catch-up-turns", "growth", "live", "batch", "latency", "sessions")
"""Those that are measured twice, with open nodes and with nodes of a mesh, over TLS."""
COMPARED = ("catch-up", "batch", "latency")
"""Those that can be compared with plain inserts into SQLite in the same run."""
