"""What jobtelemetry costs, as ratios against bare RQ in the same run. ``python -m benchmarks`` is the command."""
