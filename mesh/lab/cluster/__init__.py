"""A cluster of simulated nodes, and the verbs of a scenario."""
