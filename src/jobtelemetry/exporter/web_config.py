"""The file that ``--web-config-file`` names, in the format of Prometheus' exporter-toolkit.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md: the same file works for
node_exporter and for this. What the format has and Python's TLS cannot do is an error, never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobtelemetry.errors import ConfigError, MissingExtraError

VERIFYING = ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
VERSIONS = ("TLS10", "TLS11", "TLS12", "TLS13")
CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
#: Go's names, which the format has, and OpenSSL's; the suites of TLS 1.3 are always on and cannot be chosen.
CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
}
TLS13_CIPHERS = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")

_HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
_BCRYPT = re.compile(r"\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}")
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EXTRA = "pip install 'jobtelemetry[web]'"


@dataclass(frozen=True)
class TLSConfig:
    """``tls_server_config``; a certificate, a key and authorities each as a file or as text."""

    cert_file: Path | None = None
    key_file: Path | None = None
    client_ca_file: Path | None = None
    cert: str = ""
    key: str = field(default="", repr=False)
    client_ca: str = ""
    client_auth_type: str = "NoClientCert"
    client_allowed_sans: tuple[str, ...] = ()
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[str, ...] = ()


@dataclass(frozen=True)
class WebConfig:
    """The whole file; without one nothing is encrypted and nobody is asked who they are."""

    tls: TLSConfig | None = None
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: tuple[tuple[str, str], ...] = ()
    #: Seconds between two requests in the long run; 0 for any number.
    interval: float = 0.0
    burst: int = 0

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it names."""
        tls = self.tls or TLSConfig()
        return tuple(path for path in (tls.cert_file, tls.key_file, tls.client_ca_file) if path is not None)


def load(path: Path) -> WebConfig:
    """Read the file. Whether certificates fit is seen when they are loaded.

    Raises:
        ConfigError: It cannot be read, or something in it cannot be used; names the file and the key, and no secret.
        MissingExtraError: What reads it is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise MissingExtraError(f"--web-config-file needs PyYAML; install it with: {_EXTRA}") from None
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
    except yaml.YAMLError as error:  # its own text quotes the line, which may have a secret in it
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path} is not YAML{where}: {getattr(error, 'problem', None) or 'broken'}") from None
    try:
        return parse({} if content is None else content, path.parent)
    except _Wrong as error:
        raise ConfigError(f"{path}: {error}") from None


class _Wrong(ValueError):
    """What is wrong, beginning with the key."""


def parse(content: object, folder: Path) -> WebConfig:
    """The settings of a file that was read.

    Args:
        content: What was in it.
        folder: What paths in it are relative to.

    Raises:
        ValueError: Something in it cannot be used.
    """
    top = _mapping("", content, ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"))
    http = _mapping("http_server_config", top.get("http_server_config"), ("http2", "headers"))
    if not isinstance(http.get("http2", True), bool):
        raise _Wrong("http_server_config.http2 must be true or false; HTTP/1.1 is spoken in either case")
    limit = _mapping("rate_limit", top.get("rate_limit"), ("interval", "burst"))
    interval = _duration("rate_limit.interval", limit.get("interval", 0))
    burst = limit.get("burst", 0)
    if isinstance(burst, bool) or not isinstance(burst, int) or burst < (1 if interval else 0):
        raise _Wrong("rate_limit.burst must be a whole number of at least 1")
    tls = _mapping("tls_server_config", top.get("tls_server_config"), tuple(_TLS_KEYS))
    return WebConfig(_tls(tls, folder), _users(top.get("basic_auth_users")), _headers(http), interval, burst)


def _tls(given: Mapping[str, Any], folder: Path) -> TLSConfig | None:
    tls = TLSConfig(**{key: _TLS_KEYS[key](f"tls_server_config.{key}", value) for key, value in given.items()})
    files = {
        name: folder / path
        for name in ("cert_file", "key_file", "client_ca_file")
        if (path := getattr(tls, name)) is not None
    }
    tls = TLSConfig(**{**vars(tls), **files})
    if not files and not (tls.cert or tls.key or tls.client_ca) and tls.client_auth_type == "NoClientCert":
        return None  # as in the toolkit: nothing that asks for TLS is there
    for what in ("cert", "key"):
        one, other = getattr(tls, what), getattr(tls, f"{what}_file")
        if not one and other is None:
            raise _Wrong(f"tls_server_config: {what}_file (or {what}) is missing")
        if one and other is not None:
            raise _Wrong(f"tls_server_config: give {what}_file or {what}, not both")
    if (tls.client_ca or tls.client_ca_file) and tls.client_auth_type == "NoClientCert":
        raise _Wrong("tls_server_config.client_auth_type must be RequireAndVerifyClientCert where there is a client CA")
    if tls.client_allowed_sans and tls.client_auth_type != "RequireAndVerifyClientCert":
        raise _Wrong("tls_server_config.client_allowed_sans needs client_auth_type: RequireAndVerifyClientCert")
    if VERSIONS.index(tls.min_version) > VERSIONS.index(tls.max_version):
        raise _Wrong("tls_server_config.min_version must not be above max_version")
    return tls


def _users(given: object) -> dict[str, str]:
    users = _mapping("basic_auth_users", given, None)
    for name, hashed in users.items():
        if not isinstance(hashed, str) or not _BCRYPT.fullmatch(hashed):
            raise _Wrong(f"basic_auth_users.{name} must be a bcrypt hash, as 'htpasswd -nBC 10 {name}' makes one")
    if users:
        try:
            import bcrypt  # noqa: F401 - whether it is there is the question
        except ImportError:
            raise MissingExtraError(f"basic_auth_users needs bcrypt; install it with: {_EXTRA}") from None
    return users


def _headers(http: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    headers = _mapping("http_server_config.headers", http.get("headers"), tuple(_HEADERS))
    # YAML makes a number of "1", which Go's reader gives as it was written.
    numbers = {name: str(value) for name, value in headers.items() if isinstance(value, (int, float))}
    for name, given in (headers | numbers).items():
        headers[name] = value = _text(f"http_server_config.headers.{name}", given)
        if value and (allowed := _HEADERS[name]) and value not in allowed:
            raise _Wrong(f"http_server_config.headers.{name} must be {' or '.join(allowed)}, got {value!r}")
        if not value.isascii() or not value.isprintable():
            raise _Wrong(f"http_server_config.headers.{name} must be one line of ASCII")
    return tuple((name, value) for name, value in headers.items() if value)


def _mapping(key: str, given: object, known: tuple[str, ...] | None) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
        raise _Wrong(f"{key or 'the file'} must be a mapping of names to values")
    if known is not None and (unknown := sorted(set(given) - set(known))):
        raise _Wrong(f"{key + ': ' if key else ''}unknown {', '.join(unknown)}; expected {', '.join(known)}")
    return given


def _text(key: str, value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Wrong(f"{key} must be text; quotes around it help")
    return value


def _path(key: str, value: object) -> Path | None:
    return Path(text) if (text := _text(key, value)) else None


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(f"{key} must be true or false")
    return value


def _texts(key: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _Wrong(f"{key} must be a list")
    return tuple(_text(key, one) for one in value)


def _one_of(*words: str) -> Callable[[str, object], str]:
    def take(key: str, value: object) -> str:
        if value not in words:
            raise _Wrong(f"{key} must be {' or '.join(words)}, got {value!r}")
        return str(value)

    return take


def _some_of(*words: str) -> Callable[[str, object], tuple[str, ...]]:
    def take(key: str, value: object) -> tuple[str, ...]:
        return tuple(_one_of(*words)(key, one) for one in _texts(key, value))

    return take


def _auth_type(key: str, value: object) -> str:
    if value in ("RequestClientCert", "RequireClientCert", "RequireAnyClientCert"):
        raise _Wrong(
            f"{key}: {value} takes certificates that nobody vouches for, and Python's TLS does not; use "
            "RequireAndVerifyClientCert with client_ca_file"
        )
    return _one_of("NoClientCert", *VERIFYING)(key, value or "NoClientCert")


def _duration(key: str, value: object) -> float:
    if value == 0:
        return 0.0
    text = value if isinstance(value, str) else ""
    if not text or _DURATION.sub("", text):
        raise _Wrong(f"{key} must be a duration such as 1s or 500ms, got {value!r}")
    return sum(int(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))


_TLS_KEYS: dict[str, Callable[[str, object], Any]] = {
    "cert_file": _path,
    "key_file": _path,
    "client_ca_file": _path,
    "cert": _text,
    "key": _text,
    "client_ca": _text,
    "client_auth_type": _auth_type,
    "client_allowed_sans": _texts,
    "min_version": _one_of(*VERSIONS),
    "max_version": _one_of(*VERSIONS),
    "cipher_suites": _some_of(*CIPHERS, *TLS13_CIPHERS),
    "prefer_server_cipher_suites": _flag,
    "curve_preferences": _some_of(*CURVES),
}
