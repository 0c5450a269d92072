"""Virtual time, and the simulated network, disk and discovery."""
