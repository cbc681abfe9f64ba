"""Consumers of :class:`~jobtelemetry.events.ExecutionEvent`; none knows of the others."""
