"""A soak: thousands of jobs of all kinds on a pool that is never left in peace, and a count that must be exact.

``python -m tests.soak --minutes 10`` from the repository's root; not part of the default test run. The jobs and
workers write what happens into a file, the ledger, outside of Redis; :mod:`tests.soak.verdict` compares.
"""
