"""RQ's own test suite, run twice: as RQ is, and instrumented. ``python -m tests.rq_suite`` from the repository's root.

A test that passes without jobtelemetry and fails with it is a bug in jobtelemetry. RQ's tests want a Redis of their
own on ``localhost:6379``; each pass gets one in a network namespace of its own, or, where that is not permitted, on a
free port to which its connections are redirected.
"""
