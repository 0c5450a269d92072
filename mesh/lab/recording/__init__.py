"""What is recorded of a run: trace, timeline and the report of a failure."""
