"""What forking needs and RQ does not know: the pipe from a horse to its parent, its half of a span, a forked SDK."""
