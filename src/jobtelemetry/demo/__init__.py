"""The Cinema City demo: a real RQ worker pool on a private server, and a metrics page that tells the truth about it.

``run`` is the command's way from start to end. ``stage`` is its handle on ``backstage``, the process that owns
``server`` (the embedded Valkey), ``pool`` (the RQ workers) and the exporter; ``session`` and ``tether`` see to it that
nothing is left of them. ``jobs`` is the pipeline, ``listing``, ``titles`` and ``matching`` what it works on;
``summary`` reads the metrics page, ``display`` shows it.
"""
