"""The Cinema City demo: a real RQ worker pool on a private server, and a metrics page that tells the truth about it.

``server`` is the embedded Valkey, ``backstage`` the process that owns everything the demo starts, ``jobs`` the
pipeline, ``listing`` and ``films`` its data, ``matching`` how the two meet, ``summary`` the table at the end.
"""
