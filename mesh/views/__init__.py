"""Views: state that is folded from the log, kept beside it, and folded again where an event comes late."""
