"""What ``jobtelemetry doctor`` looks into: the server, the coverage, the exporter, Prometheus. Answers are findings."""
