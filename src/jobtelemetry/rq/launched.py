"""Read by ``opentelemetry-instrument``, which asks every package for names of variables before it starts a program.

It is the one place where a package can speak before the program's own environment is read. Of several distributions
the launcher takes any; this makes it ours, which is the other one as well: :mod:`jobtelemetry.rq.distro`. A name that
somebody has chosen stays.
"""

import os

os.environ.setdefault("OTEL_PYTHON_DISTRO", "jobtelemetry")
