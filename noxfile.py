"""The truth table on every supported RQ: ``nox``; one of them: ``nox -s 'truth_table(rq="2.7")'``."""

import nox

nox.options.default_venv_backend = "venv"

#: RQ's version -> what to install. RQ before 3 does not work with redis-py 8: its SpawnWorker cannot pass its settings.
VERSIONS = {
    "2.7": ("rq==2.7.0", "redis<8"),
    "2.12": ("rq==2.12.0", "redis<8"),
    "3": ("rq>=3",),
}


@nox.session
@nox.parametrize("rq", list(VERSIONS))
def truth_table(session: nox.Session, rq: str) -> None:
    """Every way a job can end, for every worker class."""
    session.install("-e", ".[test]", *VERSIONS[rq])
    session.run("python", "-m", "pytest", "tests/acceptance", "tests/rq", "tests/store", *session.posargs)
