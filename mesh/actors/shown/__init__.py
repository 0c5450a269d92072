"""What a node supervisor shows people: notices, the whole mesh, figures of the log."""
