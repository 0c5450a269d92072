"""The same scenarios with real processes in network namespaces."""
