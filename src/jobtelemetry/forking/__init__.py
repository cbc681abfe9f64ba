"""What forking needs and RQ does not know: what a horse tells its parent, its half of a span, an SDK that was forked."""
