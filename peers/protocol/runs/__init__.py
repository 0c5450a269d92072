"""The exchange of runs over one link: what two stores say to each other."""
