"""What `mesh doctor` says: measured values in, a line for each check out; nothing here measures."""
