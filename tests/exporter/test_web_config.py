"""TLS, client certificates and passwords from a file in exporter-toolkit's format, with curl and a real Prometheus."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bcrypt
import pytest
import trustme
import yaml

from jobtelemetry.config import Config
from jobtelemetry.demo.server import EmbeddedServer
from jobtelemetry.diagnosis.endpoints import check_exporter
from jobtelemetry.diagnosis.findings import Level
from jobtelemetry.errors import ConfigError
from jobtelemetry.exporter import doorkeeper
from jobtelemetry.exporter.doorkeeper import Doorkeeper
from jobtelemetry.exporter.server import ExporterServer
from jobtelemetry.exporter.web_config import CIPHERS, TLS13_CIPHERS, load
from support.needed import needed
from support.waiting import eventually

PASSWORD = "correct horse"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
MUTUAL = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "ca.pem"}


@dataclass
class Site:
    """A folder with certificates and the file."""

    home: Path

    def path(self, name: str) -> str:
        return str(self.home / name)

    def write(self, content: Any = None, /, *, users: Any = None, headers: Any = None, **tls: Any) -> Path:
        """The file; with any TLS setting, certificate and key are there."""
        if content is None:
            content = {"basic_auth_users": users} if users else {}
            if tls:
                content["tls_server_config"] = {"cert_file": "server.pem", "key_file": "server.key"} | tls
            if headers:
                content["http_server_config"] = {"headers": headers}
        path = self.home / "web.yml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def site(tmp_path: Path, authority: trustme.CA) -> Site:
    """Certificates of a server, of two clients, and of a client that nobody vouches for."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued = {"server": authority.issue_cert("127.0.0.1", "localhost"), "client": authority.issue_cert("prom.example")}
    issued |= {"other": authority.issue_cert("other.example"), "stranger": trustme.CA().issue_cert("prom.example")}
    for name, cert in issued.items():
        cert.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
        cert.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
    return Site(tmp_path)


@pytest.fixture
def serving(redis_server: EmbeddedServer) -> Iterator[Callable[[Path], ExporterServer]]:
    """``serving(path of the file)`` -> a running exporter."""
    running: list[ExporterServer] = []

    def start(path: Path) -> ExporterServer:
        server = ExporterServer(redis_server.url, Config(web_config_file=str(path)), "127.0.0.1", 0)
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.close()


def curl(*arguments: str) -> tuple[int, str, str]:
    """Exit code, status and body."""
    command = [needed("curl"), "-sS", "-m", "20", "-w", "\n%{http_code}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    body, _, status = done.stdout.rpartition("\n")
    return done.returncode, status, body + done.stderr


def test_tls(site: Site, serving: Any) -> None:
    """The certificate is served, the URL says https, and who speaks plain HTTP gets nothing."""
    server = serving(site.write(min_version="TLS12"))
    assert server.url.startswith("https://127.0.0.1:")
    assert "encrypted, without a password" in server.open_to
    code, status, body = curl("--cacert", site.path("ca.pem"), f"{server.url}/metrics")
    assert (code, status) == (0, "200")
    assert "\njobtelemetry_up 1.0\n" in body
    assert curl(f"{server.url}/metrics")[0] == 60  # nobody vouches for the certificate
    assert curl(f"http{server.url[5:]}/metrics")[0] != 0


def test_versions_and_ciphers(site: Site, serving: Any) -> None:
    """A client that knows only what the file excludes is turned away."""
    server = serving(site.write(max_version="TLS12", cipher_suites=["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"] * 2))
    ask = ("--cacert", site.path("ca.pem"), f"{server.url}/healthz")
    assert curl(*ask)[:2] == (0, "200")
    assert curl("--tlsv1.3", *ask)[0] == 35
    assert curl("--tls-max", "1.2", "--ciphers", "ECDHE-ECDSA-AES256-GCM-SHA384", *ask)[0] == 35


def test_client_certificates(site: Site, serving: Any) -> None:
    """Only who has a certificate of the authority comes in, and of these only the names that are allowed."""
    server = serving(site.write(**MUTUAL, client_allowed_sans=["prom.example"]))
    assert "with a client certificate" in server.open_to

    def ask(*who: str) -> tuple[int, str]:
        certificate = ("--cert", site.path(f"{who[0]}.pem"), "--key", site.path(f"{who[0]}.key")) if who else ()
        return curl("--cacert", site.path("ca.pem"), *certificate, f"{server.url}/metrics")[:2]

    assert ask("client") == (0, "200")
    assert ask("other") == (0, "403")
    assert ask("stranger")[0] != 0
    assert ask()[0] != 0


def test_passwords(site: Site, serving: Any, fetch: Any) -> None:
    """Right is right, everything else is 401, on every path; what was right is not looked up again."""
    server = serving(site.write(users={"prom": HASH}))
    for path in ("/metrics", "/", "/healthz", "/nothing"):
        refused = fetch(server.url + path)
        assert (refused.status, refused.headers["www-authenticate"][:5]) == (401, "Basic")
    ask = (f"{server.url}/metrics",)
    assert curl("-u", f"prom:{PASSWORD}", *ask)[1] == "200"
    for wrong in ("prom:wrong", "prom:", f"nobody:{PASSWORD}", f"prom:{PASSWORD}x", ":", "prom:" + "x" * 500):
        assert curl("-u", wrong, *ask)[1] == "401"
    for header in ("Basic !!!", "Basic", "Bearer x", "Basic " + "=" * 50, "Basic cHJvbQ=="):
        assert fetch(ask[0], Authorization=header).status == 401


def test_guessers_keep_nobody_waiting(site: Site, serving: Any, fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While passwords are being guessed, one that was right before is answered, and too many guesses are sent away."""
    server = serving(site.write(users={"prom": HASH}))
    assert curl("-u", f"prom:{PASSWORD}", f"{server.url}/metrics")[1] == "200"
    release = threading.Event()
    monkeypatch.setattr("jobtelemetry.exporter.passwords._fits", lambda *_: not release.wait(20))
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(fetch(f"{server.url}/metrics", Authorization="Basic eDp5").status)
        )
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: answers.count(503) == 4, "what is too much is refused")
    assert curl("-u", f"prom:{PASSWORD}", f"{server.url}/metrics")[1] == "200"
    release.set()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [401] * 8 + [503] * 4


def test_headers_and_rates(site: Site, serving: Any, fetch: Any) -> None:
    """Configured headers go before our own; more requests than are allowed are told to come again."""
    headers = {"X-Frame-Options": "deny", "X-XSS-Protection": 0, "Content-Security-Policy": "default-src 'self'"}
    limit = {"interval": "1h", "burst": 2}
    server = serving(site.write({"http_server_config": {"headers": headers}, "rate_limit": limit}))
    page = fetch(f"{server.url}/")
    assert (page.headers["x-frame-options"], page.headers["x-xss-protection"]) == ("deny", "0")
    assert page.headers["content-security-policy"] == "default-src 'self'"
    assert [fetch(f"{server.url}/healthz").status for _ in range(2)] == [200, 429]


def test_it_is_read_again(site: Site, serving: Any, fetch: Any, monkeypatch: Any, caplog: Any) -> None:
    """A new password, a new certificate and no TLS are in force without a restart; a broken file changes nothing."""
    monkeypatch.setattr(doorkeeper, "_LOOK_EVERY", 0.0)
    server = serving(site.write(users={"prom": HASH}))
    url = f"{server.url}/healthz"
    assert fetch(url).status == 401
    site.write(users={"prom": "no hash"})
    assert [fetch(url).status for _ in range(3)] == [401, 401, 401]
    told = [record.getMessage() for record in caplog.records if "web configuration" in record.getMessage()]
    assert len(told) == 1
    assert "basic_auth_users.prom must be a bcrypt hash" in told[0]
    site.write(headers={"X-Frame-Options": "deny"})
    assert fetch(url).status == 200
    site.write(min_version="TLS12")
    secure = f"https{url[4:]}"
    assert curl("--cacert", site.path("ca.pem"), secure)[1] == "200"
    other = trustme.CA()
    issued = other.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(site.path("server.key"))
    issued.cert_chain_pems[0].write_to_path(site.path("server.pem"))
    other.cert_pem.write_to_path(site.path("ca2.pem"))
    assert curl("--cacert", site.path("ca2.pem"), secure)[1] == "200"


def test_certificates_in_the_file(site: Site, serving: Any) -> None:
    """Certificate and key may stand in the file itself."""
    inline = {name: Path(site.path(f"server.{kind}")).read_text() for name, kind in (("cert", "pem"), ("key", "key"))}
    server = serving(site.write({"tls_server_config": inline}))
    assert curl("--cacert", site.path("ca.pem"), f"{server.url}/healthz")[1] == "200"


def test_a_real_prometheus_over_mutual_tls_with_a_password(site: Site, serving: Any, tmp_path: Path) -> None:
    """Prometheus scrapes with its certificate and password, and says so itself."""
    server = serving(site.write(users={"prom": HASH}, **MUTUAL))
    job = {
        "job_name": "jobtelemetry",
        "scheme": "https",
        "basic_auth": {"username": "prom", "password": PASSWORD},
        "tls_config": {
            "ca_file": site.path("ca.pem"),
            "cert_file": site.path("client.pem"),
            "key_file": site.path("client.key"),
        },
        "static_configs": [{"targets": [f"127.0.0.1:{server.address[1]}"]}],
    }
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [job]}
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [needed("prometheus"), f"--config.file={tmp_path / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
    with (tmp_path / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log)

    def up() -> bool:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/api/v1/query?query=jobtelemetry_up", timeout=5
            ) as answer:
                result = json.load(answer)["data"]["result"]
        except OSError:
            return False
        return [sample["value"][1] for sample in result] == ["1"]

    try:
        eventually(up, "Prometheus has scraped", 60)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("tls_server_config: [", "is not YAML in line 1"),
        ("just text", "the file must be a mapping"),
        ({"tls_server_confg": {}}, "unknown tls_server_confg; expected tls_server_config"),
        ({"tls_server_config": {"cert_fiel": "x"}}, "tls_server_config: unknown cert_fiel"),
        ({"tls_server_config": {"cert_file": "server.pem"}}, "key_file (or key) is missing"),
        ({"tls_server_config": {"key_file": "server.key"}}, "cert_file (or cert) is missing"),
        ({"tls_server_config": {"cert_file": "none.pem", "key_file": "server.key"}}, "none.pem: No such file"),
        (
            {"tls_server_config": {"cert_file": "ca.pem", "key_file": "server.key"}},
            "cannot be used: KEY_VALUES_MISMATCH",
        ),
        ({"tls_server_config": {"cert_file": "web.yml", "key_file": "server.key"}}, "cannot be used"),
        ({"tls": {"min_version": "TLS14"}}, "min_version must be TLS10 or TLS11 or TLS12 or TLS13, got 'TLS14'"),
        ({"tls": {"min_version": "TLS13", "max_version": "TLS12"}}, "min_version must not be above max_version"),
        ({"tls": {"cipher_suites": ["TLS_FANTASY"]}}, "cipher_suites must be TLS_ECDHE"),
        ({"tls": {"cipher_suites": "TLS_AES_128_GCM_SHA256"}}, "cipher_suites must be a list"),
        ({"tls": {"curve_preferences": ["CurveP999"]}}, "curve_preferences must be CurveP256"),
        ({"tls": {"curve_preferences": ["CurveP256", "X25519"]}}, "can be told one curve"),
        ({"tls": {"client_auth_type": "Maybe"}}, "client_auth_type must be NoClientCert"),
        ({"tls": {"client_auth_type": "RequireAnyClientCert"}}, "use RequireAndVerifyClientCert with client_ca_file"),
        ({"tls": {"client_ca_file": "ca.pem"}}, "must be RequireAndVerifyClientCert where there is a client CA"),
        ({"tls": MUTUAL | {"client_ca_file": "server.key"}}, "has no certificate in PEM"),
        ({"tls": {"client_allowed_sans": ["x"]}}, "client_allowed_sans needs client_auth_type"),
        ({"basic_auth_users": {"joe": "plain secret"}}, "basic_auth_users.joe must be a bcrypt hash"),
        ({"basic_auth_users": ["joe"]}, "basic_auth_users must be a mapping"),
        ({"http_server_config": {"headers": {"X-Other": "1"}}}, "unknown X-Other"),
        ({"http_server_config": {"headers": {"X-Frame-Options": "foo"}}}, "must be deny or sameorigin, got 'foo'"),
        ({"http_server_config": {"headers": {"X-XSS-Protection": "1\r\nSet-Cookie: a"}}}, "must be one line"),
        ({"http_server_config": {"http2": "maybe"}}, "http2 must be true or false"),
        ({"rate_limit": {"interval": "often", "burst": 1}}, "rate_limit.interval must be a duration"),
        ({"rate_limit": {"interval": "1s"}}, "rate_limit.burst must be a whole number"),
    ],
)
def test_mistakes_are_named(site: Site, content: Any, said: str) -> None:
    """The message has the file and the key, says what was expected, and has no secret in it."""
    path = site.write(**content["tls"]) if isinstance(content, dict) and "tls" in content else site.write(content)
    with pytest.raises(ConfigError) as caught:
        Doorkeeper(path)
    assert said in str(caught.value)
    assert "plain secret" not in str(caught.value)


def test_what_the_toolkit_takes_is_taken(site: Site) -> None:
    """An empty file, an empty section, all of the ciphers, all of the curves, and HTTP/2 being off."""
    for content in ("", "{}", {"tls_server_config": {}}, {"http_server_config": {"http2": False}}):
        assert load(site.write(content)).tls is None
    curves = ["CurveP256", "CurveP384", "CurveP521", "X25519"]
    every = site.write(cipher_suites=[*CIPHERS, *TLS13_CIPHERS], curve_preferences=curves, client_auth_type="")
    assert Doorkeeper(every).encrypts
    assert Doorkeeper(site.write(curve_preferences=["CurveP256"], prefer_server_cipher_suites=False)).encrypts


def test_a_missing_file(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(ConfigError, match=r"cannot read .*web\.yml: No such file"):
        Doorkeeper(tmp_path / "web.yml")


def test_the_doctor_brings_the_password(site: Site, serving: Any) -> None:
    """A login in the URL of ``--exporter`` is used, and is in no message, right or wrong."""
    server = serving(site.write(users={"prom": HASH}))
    place = server.url.removeprefix("http://")
    for login, level in ((f"prom:{quote(PASSWORD)}", Level.OK), ("prom:s3cret", Level.PROBLEM)):
        (finding, *_) = check_exporter(f"http://{login}@{place}", None, 0.0)
        assert finding.level is level
        assert f"http://***@{place}/metrics" in finding.summary
        assert login not in str(finding)
    for odd in ("http://prom:s3/cret@h", "http://prom:s3#cret@h", "http://prom:s3cret", "http://[s3cret"):
        (finding, *_) = check_exporter(odd, None, 0.0)
        assert finding.level is Level.PROBLEM
        assert not any(piece in str(finding) for piece in ("s3", "cret"))
