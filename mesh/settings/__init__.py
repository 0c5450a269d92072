"""Settings: names, the home folder, its lock, its files and ports."""
