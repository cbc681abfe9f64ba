"""From Redis to a reader: the Prometheus collector and the HTTP server with ``/metrics`` and the page at ``/``.

``sources`` says which Redis servers there are, ``connection`` connects with short time limits, ``reading`` reads a
:class:`~jobtelemetry.store.snapshot.Snapshot` without ever hanging, ``families`` turns it into metric families and
``collector`` puts these into a registry.
``trouble`` says what is wrong with the jobs and ``verdict`` whether the numbers are complete, ``trends`` and
``logbook`` keep what happened lately, ``formats`` says how figures are written; ``markup`` and ``pages`` show them and
``api`` tells them as JSON, for both of which ``site`` reads; ``front`` leads to the
sites where there are several Redis servers. ``app`` makes the answer to a request, by ``negotiation``
of its form, and knows no sockets.

Who asks ``app``: ``mounted`` inside of a web application, or ``server``, which is ``binding`` (a socket), ``listener``
(Tornado, and what it has no answer for), ``clients`` (who stays where there are too many) and ``doorkeeper`` (TLS and
passwords: ``web_config``, ``tls``, ``passwords``). ``background`` and ``reconciling`` work beside it, and ``beside``
runs it beside a worker.
"""
