"""Where the numbers live: Redis, beside the jobs.

``keys`` names and encodes, ``record`` appends to a pipeline, ``read`` turns what is there into a
:class:`~jobtelemetry.store.read.Snapshot`, ``reconcile`` counts what nothing else reported.
"""
