"""``python -m jobtelemetry``: the same as the command ``jobtelemetry``."""

from jobtelemetry.cli import main

if __name__ == "__main__":
    main(prog_name="jobtelemetry")
