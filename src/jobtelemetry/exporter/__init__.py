"""From Redis to a reader: the Prometheus collector and the HTTP server with ``/metrics`` and the page at ``/``.

``connection`` connects with short time limits, ``reading`` reads a :class:`~jobtelemetry.store.snapshot.Snapshot`
without ever hanging, ``families`` turns it into metric families and ``collector`` puts these into a registry.
``trouble`` says what is wrong with the jobs and ``verdict`` whether the numbers are complete, ``trends`` and
``logbook`` keep what happened lately, ``formats`` says how figures are written; ``markup`` and ``pages`` show them and
``api`` tells them as JSON, for both of which ``site`` reads. ``app`` answers HTTP requests, ``listener`` is the socket
and ``server`` the whole; ``background`` and ``reconciling`` work beside it, and ``beside`` runs it beside a pool.
"""
