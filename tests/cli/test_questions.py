"""``jobs``, ``stats``, ``top``, ``show`` and ``compare`` against a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.outcomes import State
from jobtelemetry.store.keys import Keys
from jobtelemetry.store.record import Limits, Start, append_start
from jobtelemetry.store.scripts import execute

Cli = Callable[..., Any]


@pytest.mark.usefixtures("cinema")
def test_jobs_are_listed_newest_first(cli: Cli) -> None:
    """The short name of a worker will do, and a pipe gets tab-separated lines with nothing cut."""
    said = cli("jobs", "--worker", "ShowtimeProcessJob", "--limit", "20")
    assert (said.code, len(said.rows)) == (0, 20)
    numbers = [int(row["job"].removeprefix("job-")) for row in said.rows]
    assert numbers == sorted(numbers, reverse=True)
    assert {row["state"] for row in said.rows} == {"cancelled"}
    assert said.rows[0]["why"] == "movie_not_matched"
    assert said.rows[0]["attributes"] == "film_id=4101 title=Velvet Meridian"


@pytest.mark.usefixtures("cinema")
def test_a_newcomer_finds_the_reason_of_a_failed_job_in_one_command(cli: Cli) -> None:
    """``jobs --state discard`` names the exception and its message."""
    (row,) = cli("jobs", "--state", "failure,discard").rows
    assert (row["worker"], row["why"]) == ("cinema.jobs.MovieDetailJob", "KeyError: 'title'")


@pytest.mark.usefixtures("cinema")
@pytest.mark.parametrize(
    ("options", "number"),
    [
        ([], 1275),
        (["--state", "cancelled"], 536),
        (["--state", "completed", "--source", "cinema_city"], 738),
        (["--queue", "scraping"], 1),
        (["--reason", "movie_not_matched", "--attribute", "film_id=4101"], 36),
        (["--error-type", "KeyError"], 1),
        (["--since", "1h"], 1275),
        (["--worker", "ShowtimeProcessJob", "--error-type", "KeyError"], 0),
    ],
)
def test_filters(cli: Cli, options: list[str], number: int) -> None:
    """Each filter leaves what it says, and an empty answer says how much was searched."""
    said = cli("jobs", "--limit", "0", "--json", *options)
    assert len(said.lines) == number
    assert (number > 0) or "No execution matches; the log has 1,275" in said.err


def test_json_has_every_fact(cli: Cli, record: Callable[..., str]) -> None:
    """One object a line, with seconds, Unix times and attributes of their own types."""
    job = record(State.CANCELLED, reason="r", message="żółw", trace_id="0af7", attributes={"n": 3, "new": True})
    (line,) = cli("jobs", "--job", job, "--json").lines
    found = json.loads(line)
    assert (found["job"], found["state"], found["message"], found["trace"]) == (job, "cancelled", "żółw", "0af7")
    assert (found["wait"], found["duration"], found["attributes"]) == (1.5, 0.2, {"n": 3, "new": True})
    assert time.time() - found["ended"] < 60


@pytest.mark.usefixtures("cinema")
def test_stats_are_those_of_the_old_table(cli: Cli) -> None:
    """738 completed, 536 cancelled, a match ratio of 57.9 %, from the counters and from the log alike."""
    for options in ([], ["--since", "24h"]):
        showtime, total = cli("stats", "--source", "cinema_city", *options).rows
        assert (showtime["completed"], showtime["cancelled"], showtime["match"]) == ("738", "536", "0.5793")
        assert (showtime["success"], showtime["failure"], total["executions"]) == ("1.0000", "0", "1274")
    assert (
        "From 1,274 of 1,275 entries of the execution log"
        in cli("stats", "--source", "cinema_city", "--since", "1h").err
    )


def test_a_log_that_is_too_short_is_not_taken_for_complete(cli: Cli, record: Callable[..., str]) -> None:
    """Where older entries are gone, statistics of a longer time say INCOMPLETE and since when they are."""
    record(number=500, log_size=100)
    said = cli("stats", "--since", "24h")
    assert "INCOMPLETE: the log reaches back to" in said.err
    assert json.loads(cli("stats", "--since", "24h", "--json").lines[-1])["complete"] is False
    assert cli("stats").rows[-1]["executions"] == "500"


@pytest.mark.usefixtures("cinema")
def test_top_groups_by_any_attribute(cli: Cli) -> None:
    """Which films are cancelled: count, share, when, and a job to look at."""
    said = cli("top", "--by", "film_id,title", "--worker", "ShowtimeProcessJob", "--state", "cancelled")
    first, second = said.rows
    assert (first["film_id"], first["title"], first["count"]) == ("4124", "Kot, który liczył latarnie", "500")
    assert (second["count"], second["share"]) == ("36", "0.0672")
    assert second["example job"].startswith("job-")
    assert [row["error_type"] for row in cli("top", "--by", "error_type").rows] == ["KeyError"]


def test_the_largest_executions_come_first(cli: Cli, record: Callable[..., str]) -> None:
    """``jobs --sort memory`` and ``top --sum cpu`` tell what takes most; what is unknown comes last."""
    record(worker="cinema.jobs.Resize", job_id="small", cpu=2.5, memory=80_000_000)
    record(worker="cinema.jobs.Resize", job_id="large", cpu=1.0, memory=314_572_800)
    record(worker="cinema.jobs.Resize", job_id="unknown")
    record(worker="cinema.jobs.Mail", number=5, job_id="mail", cpu=0.01, memory=1_000_000)
    rows = cli("jobs", "--sort", "memory", "--limit", "2").rows
    assert [(row["job"], row["memory"], row["cpu"]) for row in rows] == [
        ("large", "314572800", "1.000000"),
        ("small", "80000000", "2.500000"),
    ]
    assert cli("jobs", "--sort", "cpu", "--limit", "0").rows[-1]["job"] == "unknown"
    said = cli("top", "--by", "worker", "--sum", "cpu")
    assert [(row["worker"], row["count"], row["cpu sum"], row["cpu most"], row["share"]) for row in said.rows] == [
        ("cinema.jobs.Resize", "3", "3.500000", "2.500000", "0.9859"),
        ("cinema.jobs.Mail", "5", "0.050000", "0.010000", "0.0141"),
    ]
    assert "Of 1 the cpu is not known." in said.err
    assert json.loads(cli("top", "--by", "worker", "--sum", "cpu", "--json").lines[0])["sum"] == 3.5
    story = cli("show", "large").out
    assert "took     1.0 s of processor time, 315 MB of memory at most" in story


@pytest.mark.usefixtures("cinema")
def test_wrong_words_are_errors_with_a_way_out(cli: Cli) -> None:
    """An unknown worker, queue, attribute, state or duration is exit code 2 and names what was meant."""
    for arguments, hint in (
        (["jobs", "--worker", "ShowtimeProcesJob"], "did you mean cinema.jobs.ShowtimeProcessJob?"),
        (["jobs", "--queue", "showtime"], "did you mean showtimes?"),
        (["top", "--by", "film"], "did you mean film_id?"),
        (["jobs", "--state", "success"], "did you mean completed?"),
        (["jobs", "--since", "yesterday"], "write 90s, 30m, 2h"),
        (["jobs", "--attribute", "4124"], "write film_id=4124"),
        (["stats", "--source", "web"], "there are cinema_city"),
    ):
        said = cli(*arguments)
        assert (said.code, said.out) == (2, "")
        assert hint in said.err
        assert "Traceback" not in said.err


def test_what_only_the_log_knows_is_looked_up_where_nothing_is_found(cli: Cli, record: Callable[..., str]) -> None:
    """A misspelt error type, RQ worker, job or attribute finds nothing, and what may be meant stands beside it."""
    record(State.DISCARD, error_type="KeyError", rq_worker="pool-1", job_id="film-7", attributes={"film_id": "1"})
    for options, hint in (
        (["--error-type", "KeyEror"], "No entry has the error type 'KeyEror'; did you mean KeyError?"),
        (["--rq-worker", "pool-9"], "No entry has the RQ worker 'pool-9'; did you mean pool-1?"),
        (["--job", "film"], "No entry has the job 'film'; did you mean film-7?"),
        (["--attribute", "film=1"], "No entry has an attribute 'film'; did you mean film_id?"),
    ):
        for command in (["jobs"], ["top", "--by", "queue"]):
            said = cli(*command, *options)
            assert said.code == 0
            assert said.err.rstrip().endswith(hint)
    assert cli("jobs", "--state", "completed").err.rstrip().endswith("UTC.")


def test_a_list_says_that_it_goes_on_and_how_far_the_log_reaches(cli: Cli, record: Callable[..., str]) -> None:
    """Twenty of twenty-one are not taken for all, nor a log that is too short for the time that was asked for."""
    record(State.COMPLETED, 21)
    assert cli("jobs").err == "More with --limit 0.\n"
    assert cli("jobs", "--limit", "21").err == ""
    record(State.COMPLETED, 600, log_size=5)
    assert "INCOMPLETE: the log reaches back to" in cli("jobs", "--since", "2h", "--limit", "1").err


def test_an_unknown_command_names_those_near_it(cli: Cli) -> None:
    """As an unknown option does."""
    said = cli("fialures")
    assert said.code == 2
    assert "No such command 'fialures'. Did you mean failures?" in said.err
    assert cli("workers", "--state", "bsy").code == 2


def test_a_job_that_waits_for_ever_says_for_what(cli: Cli, server: EmbeddedServer) -> None:
    """Of those that a job waits for and that wait for it RQ's status is told, and whether it can ever run."""
    connection, keys = server.connection(), Keys()
    for job, status, dependencies in (
        ("pay", "canceled", []), ("ship", "deferred", ["pay"]), ("thank", "deferred", ["ship", "pack"]),
        ("pack", "finished", []), ("rate", "deferred", ["pack"]),
    ):  # fmt: skip
        facts = {"status": status, "origin": "q", "created_at": "x", "dependency_ids": json.dumps(dependencies)}
        connection.hset(keys.job(job), mapping=facts)
        for one in dependencies:
            connection.sadd(f"{keys.job(one)}:dependents", job)
    assert "RQ now      deferred; it will never run: it waits for pay (canceled)" in cli("show", "ship").out
    assert "waits for ship (blocked itself)" in cli("show", "thank").out
    assert "never" not in cli("show", "rate").out
    assert "awaited by  ship (deferred)" in cli("show", "pay").out
    told = json.loads(cli("show", "thank", "--json").out)["rq"]
    assert told["statuses"] == {"ship": "deferred", "pack": "finished"}
    assert told["blocked_by"] == "ship (blocked itself)"


def test_the_story_of_a_job(cli: Cli, record: Callable[..., str], server: EmbeddedServer) -> None:
    """Every attempt with its error, what runs now, and what RQ says, in the order in which it happened."""
    job = record(State.FAILURE, job_id="film-7", error_type="ReadTimeout", message="no answer", trace_id="ab" * 16)
    record(State.FAILURE, job_id="film-7", error_type="KeyError", attempt=2)
    keys, connection = Keys(), server.connection()
    connection.hset(keys.job(job), mapping={"status": "started", "origin": "showtimes", "retries_left": 1})
    start = Start("e3", job, "w", "showtimes", "pool-9", "pool-9")
    pipe = connection.pipeline(transaction=False)
    append_start(pipe, keys, start, job_key=keys.job(job), limits=Limits())
    execute(pipe)
    text = cli("show", "film-7").out
    for words in ("attempt 1 ended after 200 ms: failure", "ReadTimeout", "no answer", "abab", "attempt 2 ended"):
        assert words in text
    assert text.index("ReadTimeout") < text.index("KeyError") < text.index("still runs")
    assert "RQ now      started, 1 retries left" in text
    found = json.loads(cli("show", "film-7", "--json").out)
    assert [attempt["error_type"] for attempt in found["attempts"]] == ["ReadTimeout", "KeyError"]
    assert (found["rq"]["status"], found["running"][0]["rq_worker"]) == ("started", "pool-9")


def test_parent_and_children_are_told(cli: Cli, record: Callable[..., str]) -> None:
    """Jobs of one trace are related by their times."""
    record(job_id="parent", duration=10.0, wait=0.0, trace_id="t1")  # Redis says when each ended: now
    record(job_id="child", duration=2.0, wait=3.0, trace_id="t1")
    assert "parent      ShowtimeProcessJob parent completed" in cli("show", "child").out
    assert "children    ShowtimeProcessJob child completed" in cli("show", "parent").out


def test_an_unknown_job_is_one_line(cli: Cli, record: Callable[..., str]) -> None:
    """A part of an id is told which jobs have it; the exit code is 1."""
    record(job_id="showtime_1061_4124")
    said = cli("show", "1061")
    assert said.code == 1
    assert said.err.splitlines() == [
        "Error: no job '1061': neither the execution log nor RQ has it; did you mean showtime_1061_4124?"
    ]


@pytest.mark.usefixtures("cinema")
def test_compare_never_gives_a_percentage_without_its_n(cli: Cli) -> None:
    """Both stretches have their n, and where one is empty nothing is compared."""
    rows = {(row["worker"].rpartition(".")[2], row["ratio"]): row for row in cli("compare", "--after", "1h").rows}
    match = rows["ShowtimeProcessJob", "match"]
    assert (match["before"], match["after"], match["verdict"]) == ("-", "57.9 % of 1,274", "nothing to compare")
    found = [json.loads(line) for line in cli("compare", "--before", "1d", "--json").lines]
    assert found[2]["after"] == {"hits": 738, "n": 1274, "ratio": 738 / 1274}


def test_nothing_recorded_yet(cli: Cli) -> None:
    """An empty Redis is no error: it is said that nothing is there, and where to look."""
    for command in (["jobs"], ["stats"], ["stats", "--since", "1h"], ["top", "--by", "reason"], ["compare"]):
        said = cli(*command)
        assert said.code == 0
        assert "jobtelemetry doctor" in said.err
    assert cli("jobs", "--worker", "X").code == 2
