"""From Redis to a reader: the Prometheus collector and the HTTP server with ``/metrics`` and the page at ``/``.

``connection`` connects with short time limits, ``reading`` reads a :class:`~jobtelemetry.store.snapshot.Snapshot`
without ever hanging, ``families`` turns it into metric families and ``collector`` puts these into a registry.
``verdict`` says what the numbers mean, ``formats`` how they are written; ``markup``, ``tables`` and
``page`` show them. ``app`` answers HTTP requests, ``listener`` is the socket and ``server`` the whole; ``background``
and ``reconciling`` work beside it, and ``beside`` runs it beside a pool.
"""
