"""Terminal: sentences, tables and progress that commands print."""
