"""Least privilege: real servers with users of just the documented rules, and what each kind of process does as such."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis
from rq import Queue, Retry
from rq.job import Job

from jobtelemetry.cli import main
from jobtelemetry.cli.doctor import doctor
from jobtelemetry.config import Config
from jobtelemetry.diagnosis.findings import Level
from jobtelemetry.diagnosis.roles import ROLES, Role, check_role, documented
from jobtelemetry.exporter.reconciling import reconciler
from jobtelemetry.exporter.server import ExporterServer
from jobtelemetry.store.keys import Keys
from support import jobs
from support.needed import needed
from support.servers import TcpServer, tcp_server
from support.stage import Stage, Theatre
from support.waiting import eventually

_KEYS = Keys()
_PASSWORD = "secret"
#: redis-py asks for these as it connects, and goes on without them.
_INTRODUCTIONS = {"client|setinfo", "client|maint_notifications", "hello"}

User = Callable[..., str]


class _RedisServer(TcpServer):
    """Redis itself, and not Valkey."""

    def __init__(self, **settings: str) -> None:
        super().__init__(**settings)
        self._binary = Path(needed("redis-server"))


@pytest.fixture(scope="module", params=["valkey", "redis-server"])
def tcp(request: pytest.FixtureRequest) -> Iterator[TcpServer]:
    """One server per module and kind."""
    if request.param == "valkey":
        with tcp_server() as server:
            yield server
    else:
        server = _RedisServer()
        server.start()
        yield server
        server.stop()


@pytest.fixture
def user(tcp: TcpServer) -> Iterator[User]:
    """``user(role, *further_rules)`` -> the URL of a user of just that role."""
    admin = tcp.client()

    def make(role: Role, *further: str) -> str:
        admin.execute_command("ACL", "SETUSER", role.name, "reset", "on", f">{_PASSWORD}", *role.rules(_KEYS), *further)
        admin.execute_command("ACL", "LOG", "RESET")
        return f"redis://{role.name}:{_PASSWORD}@127.0.0.1:{tcp.port}"

    yield make
    for role in ROLES:
        admin.execute_command("ACL", "DELUSER", role)


def refused(connection: Redis) -> set[str]:
    """What Redis has refused to anybody since the user was made."""
    entries = connection.execute_command("ACL", "LOG")
    found = set()
    for entry in entries:
        facts = entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True))
        said = {_text(name): _text(value) for name, value in facts.items()}
        found.add(said["object"].lower())
    return found - _INTRODUCTIONS


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def test_every_command_of_the_scripts_is_tried_by_the_probe() -> None:
    """A script cannot get a command that the probe does not try."""
    sources = {path.name: path.read_text() for path in (resources.files("jobtelemetry.store") / "lua").iterdir()}  # type: ignore[attr-defined]
    probe = set(re.findall(r"\btry\('([A-Z]+)'", sources.pop("probe.lua")))
    used = {name for source in sources.values() for name in re.findall(r"\bcall\('([A-Z]+)'", source)}
    assert used <= probe
    assert len(used) > 15
    for role in ("worker", "producer", "exporter"):
        assert {name.lower() for name in used | probe} <= ROLES[role].commands


def test_the_table_is_documented() -> None:
    """The page has every role with exactly its rules, and the command line knows each."""
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    assert documented(_KEYS) in page, "put what diagnosis/roles.py:documented says into docs/security.md"
    (option,) = [option for option in doctor.params if option.name == "role"]
    assert list(option.type.choices) == list(ROLES)  # type: ignore[attr-defined]


@pytest.mark.parametrize("role", ROLES.values(), ids=ROLES)
def test_the_documented_rules_are_enough_for_the_doctor(tcp: TcpServer, user: User, role: Role) -> None:
    """With all of its rules a role's user is told so, and nothing was changed by trying."""
    url = user(role)
    before = sorted(tcp.client().keys())
    said = CliRunner().invoke(main, ["doctor", "--as", role.name, "--redis-url", url])
    assert (said.exit_code, said.output.partition("\t")[0]) == (0, "ok"), said.output
    assert sorted(tcp.client().keys()) == before
    assert refused(tcp.client()) == set()


_EVERY_RULE = [(role, f"+{command}") for role in ROLES.values() for command in sorted(role.commands)]


@pytest.mark.parametrize(("role", "rule"), _EVERY_RULE, ids=lambda value: getattr(value, "name", value))
def test_each_missing_rule_is_named(tcp: TcpServer, user: User, role: Role, rule: str) -> None:
    """Without any one of its commands a role's user is told which rule it lacks."""
    with Redis.from_url(user(role, f"-{rule[1:].partition('|')[0]}", *_siblings(role, rule))) as connection:
        found = check_role(connection, _KEYS, ROLES[role.name])
    assert (found.level, f" {rule} " in found.advice) == (Level.PROBLEM, True), found


def _siblings(role: Role, rule: str) -> list[str]:
    """Redis takes away a whole command; its other subcommands are given back."""
    name = rule[1:].partition("|")[0]
    return [f"+{one}" for one in role.commands if one.startswith(f"{name}|") and f"+{one}" != rule]


@pytest.mark.parametrize("role", ROLES.values(), ids=ROLES)
def test_missing_keys_and_channels_are_named(user: User, role: Role) -> None:
    """A user whose keys or channels are others is told which are needed."""
    with Redis.from_url(user(role, "resetkeys", "~other:*")) as connection:
        assert " ~rq:* " in check_role(connection, _KEYS, role).advice
    if role.channels:
        with Redis.from_url(user(role, "resetchannels")) as connection:
            assert " &rq:" in check_role(connection, _KEYS, role).advice


@pytest.mark.parametrize("kind", ["Worker", "SimpleWorker"])
def test_a_worker_records_everything(tcp: TcpServer, theatre: Theatre, user: User, tmp_path: Path, kind: str) -> None:
    """A worker with the documented rules runs and counts jobs of every kind, and Redis refuses it nothing."""
    with Stage(tcp, theatre.nursery, tmp_path).open() as stage:
        url = user(ROLES["worker"])
        stage.enqueue(jobs.complete, 7)
        stage.enqueue(jobs.complete, depends_on="job-1")
        stage.enqueue(jobs.fail)
        stage.enqueue(jobs.fail_until, 2, retry=Retry(max=1))
        stage.enqueue(jobs.cancel)
        stage.enqueue(jobs.discard)
        stage.enqueue(jobs.come_again, 1, 2)
        stage.queue().enqueue_in(timedelta(seconds=0), jobs.complete, job_id="later")
        worker = stage.run(kind, url=url, with_scheduler=True)
        eventually(lambda: stage.status("later") == "finished", "the scheduled job")
        stage.settle()
        told = stage.told()
        assert told.executions == stage.calls
        assert (told.unrecorded, told.uninstrumented, told.handler_errors, told.running) == (0, 0, {}, 0)
        worker.kill(signal.SIGTERM)
        worker.wait()
        assert "is off" not in worker.output
        assert refused(stage.connection) == set()


@pytest.mark.parametrize("command", ["xadd", "hincrby", "evalsha", "eval", "zrangebyscore"])
def test_a_worker_that_lacks_a_command_is_told_which(
    tcp: TcpServer, theatre: Theatre, user: User, tmp_path: Path, command: str
) -> None:
    """A worker that may not record runs its jobs and says what its user lacks; nothing of the trial is left."""
    with Stage(tcp, theatre.nursery, tmp_path).open() as stage:
        url = user(ROLES["worker"], f"-{command}")
        worker = stage.worker("SimpleWorker", url=url)
        eventually(lambda: "is off for this worker" in worker.output, "the worker's word")
        assert f"(ACL: +{command})" in worker.output
        assert not any(b"probe" in stage.connection.hkeys(key) for key in (_KEYS.meta, _KEYS.accounts, _KEYS.running))


def test_a_producer_counts_what_it_enqueues(tcp: TcpServer, theatre: Theatre, user: User, tmp_path: Path) -> None:
    """A producer with the documented rules does all that RQ lets it do, and it is counted."""
    with Stage(tcp, theatre.nursery, tmp_path).open() as stage:
        connection = Redis.from_url(user(ROLES["producer"]))
        queue = Queue(connection=connection)
        first = queue.enqueue(jobs.complete, job_id="first")
        queue.enqueue(jobs.complete, depends_on=first, at_front=True)
        queue.enqueue_many([Queue.prepare_data(jobs.complete, job_id=f"many-{number}") for number in range(3)])
        queue.enqueue_in(timedelta(hours=1), jobs.complete, job_id="later")
        queue.enqueue(jobs.fail, job_id="failing").cancel()
        assert Job.fetch("first", connection=connection).get_position() is not None
        assert (queue.count, len(queue.get_job_ids()), len(queue.jobs)) == (4, 4, 4)
        Job.fetch("later", connection=connection).cancel()
        stage.run("SimpleWorker")
        assert len(first.results()) == 1
        assert first.latest_result() is not None
        Job.fetch("many-0", connection=connection).delete()
        queue.empty()
        snapshot = stage.snapshot()
        connection.close()
        assert sum(counter.value for counter in snapshot.enqueued.values()) >= 6
        assert sum(counter.value for counter in snapshot.cancelled_unstarted.values()) == 2
        assert not any(snapshot.handler_errors.values())
        assert refused(stage.connection) == set()


def _abandoned(stage: Stage) -> None:
    stage.enqueue(jobs.meet)
    worker = stage.worker("SimpleWorker")
    stage.meet()
    worker.kill()
    worker.wait()
    stage.let_heartbeats_expire("worker-1")


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as reply:
        return str(reply.read().decode())


@pytest.mark.parametrize("role", ["exporter", "exporter-reading"])
def test_the_exporter_serves_and_reconciles_or_says_that_it_only_reads(
    tcp: TcpServer, theatre: Theatre, user: User, tmp_path: Path, role: str
) -> None:
    """An exporter serves metrics, pages and API; one that may write counts who died, the other says it does not."""
    with Stage(tcp, theatre.nursery, tmp_path).open() as stage:
        stage.enqueue(jobs.complete)
        _abandoned(stage)
        connection = Redis.from_url(user(ROLES[role]))
        config = Config(reconcile_interval=0 if role == "exporter-reading" else 0.05)
        with ExporterServer(connection, config, "127.0.0.1", 0, reconciler=reconciler(connection, config)) as exporter:
            assert "jobtelemetry_up 1.0" in _get(f"{exporter.url}/metrics")
            _get(f"{exporter.url}/")
            for path in ("workers", "queues", "failures", "executions", "running"):
                with suppress(urllib.error.HTTPError):
                    _get(f"{exporter.url}/api/v1/{path}")
            _get(f"{exporter.url}/readyz")
            if role == "exporter":
                eventually(lambda: stage.told().reconciled == 1, "the reconciler")
                eventually(lambda: "jobtelemetry_reconciler_up 1.0" in _get(f"{exporter.url}/metrics"), "its word")
        assert refused(stage.connection) <= ({"eval"} if role == "exporter-reading" else set()), (
            "pages are read otherwise"
        )
        if role == "exporter-reading":
            only_reads = reconciler(connection, Config(reconcile_interval=1))
            assert only_reads is not None
            with pytest.raises(Exception, match=r"permissions|may not"):
                only_reads.run()
            assert only_reads.up is False
        connection.close()


def _tail(number: int) -> list[str]:
    """The first lines of ``jobtelemetry tail``, ended as a user ends it once it waits for more."""
    command = [sys.executable, "-m", "jobtelemetry", "tail"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            return [process.stdout.readline() for _ in range(number)]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def test_the_commands_work_for_one_who_only_reads(
    tcp: TcpServer, theatre: Theatre, user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command that asks answers a user who may only read, and the doctor finds nothing wrong with that."""
    with Stage(tcp, theatre.nursery, tmp_path).open() as stage:
        for _ in range(3):
            stage.enqueue(jobs.complete)
        stage.enqueue(jobs.fail)
        stage.run("SimpleWorker")
        for role in ("worker", "producer", "exporter"):
            marked = CliRunner().invoke(main, ["deploy", "mark", f"by-{role}", "--redis-url", user(ROLES[role])])
            assert (marked.exit_code, "runs from now on" in marked.output) == (0, True), marked.output
        monkeypatch.setenv("JOBTELEMETRY_REDIS_URL", user(ROLES["reader"]))
        refused = CliRunner().invoke(main, ["deploy", "mark", "v1"])
        assert refused.exit_code == 1, refused.output
        for words in (
            *("jobs", "stats", "top --by error_type", "show job-1", "show job-4", "failures", "workers"),
            *("queues", "stats --json", "failures --json", "deploy list", "compare --deploy"),
        ):
            said = CliRunner().invoke(main, words.split())
            assert said.exit_code == 0, f"{words}: {said.output} {said.exception!r}"
        assert sum("support.jobs." in line for line in _tail(5)) == 4
        findings = CliRunner().invoke(main, ["doctor"]).output.splitlines()
        assert any(line.startswith("not checked\tpermissions\t") for line in findings), findings
        assert not any("refuse" in line and "CONFIG" not in line for line in findings), findings
