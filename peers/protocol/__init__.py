"""The conversation: one module for each kind of message, without sockets, threads or time of its own."""
