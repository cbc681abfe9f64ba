"""Every hook into RQ, and every difference between its versions. :mod:`~jobtelemetry.rq.hooks` is the table of them."""
