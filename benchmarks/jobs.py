"""Job functions of the benchmarks, importable by workers."""


def no_op() -> None:
    """The cheapest job there is, so that all the time is RQ's and ours."""
