"""What the tests share: servers, real worker processes, jobs, a proxy that cuts, and what telemetry told."""
