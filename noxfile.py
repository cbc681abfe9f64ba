"""What must hold on every supported RQ. ``nox`` runs the truth table on each; ``nox --list`` shows the rest.

For one RQ: ``nox -s 'truth_table(rq="2.7")'``. What follows ``--`` goes to the command: ``nox -s soak -- --minutes 1``.
"""

import nox

nox.options.sessions = ["truth_table"]

#: RQ's version -> what to install. RQ before 3 does not work with redis-py 8: its SpawnWorker cannot pass its settings.
VERSIONS = {
    "2.7": ("rq==2.7.0", "redis<8"),
    "2.12": ("rq==2.12.0", "redis<8"),
    "3": ("rq>=3",),
    "newest": ("rq",),
}
every_rq = nox.parametrize("rq", list(VERSIONS))


@nox.session
@every_rq
def truth_table(session: nox.Session, rq: str) -> None:
    """Every way a job can end, for every worker class."""
    run(session, rq, "pytest", "tests/acceptance", "tests/rq", "tests/store", "tests/testing")


@nox.session
@every_rq
def rq_suite(session: nox.Session, rq: str) -> None:
    """RQ's own tests, with instrumentation and without."""
    run(session, rq, "tests.rq_suite")


@nox.session
@every_rq
def soak(session: nox.Session, rq: str) -> None:
    """Thousands of jobs while processes die and numbers get lost: lost, double, misclassified, unannounced."""
    run(session, rq, "tests.soak")


@nox.session
def weeks(session: nox.Session) -> None:
    """Two weeks and more of load without a false alarm, weekends and all; takes Prometheus's promtool, and a while."""
    environ = {"FALSE_ALARMS_DAYS": "17"}
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-n", "0", "tests/drills/test_false_alarms.py", env=environ)


def run(session: nox.Session, rq: str, *module: str) -> None:
    """Run a module on this RQ."""
    session.install("-e", ".[test]", *VERSIONS[rq])
    if rq == "newest":  # what the index has, whatever others of the tests' packages think of it
        session.install("--upgrade", "--no-deps", "rq")
    session.run("python", "-m", *module, *session.posargs)
