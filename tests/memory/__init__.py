"""Redis's memory does not grow with the number of executions. ``python -m tests.memory --executions 100000``."""
