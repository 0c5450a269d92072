"""What every run in the lab is checked for."""
