"""Facts: signed texts that say whose keys count in a mesh, as values and as a set; and how each of its nodes does."""
