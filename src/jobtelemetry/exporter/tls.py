"""What Python's TLS makes of ``tls_server_config``."""

from __future__ import annotations

import ssl
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobtelemetry.errors import ConfigError
from jobtelemetry.exporter.web_config import CIPHERS, CURVES, TLSConfig

_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_DEMANDS = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


def server_context(config: TLSConfig) -> ssl.SSLContext:
    """A context for a server.

    Raises:
        ConfigError: Certificate, key or authorities cannot be read or do not fit, or OpenSSL refuses the rest.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # who asks for TLS 1.0 knows that it is old
        context.minimum_version = _VERSIONS[config.min_version]
        context.maximum_version = _VERSIONS[config.max_version]
    context.set_alpn_protocols(["http/1.1"])
    context.verify_mode = _DEMANDS[config.client_auth_type]
    if not config.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    _choose_ciphers(context, config.cipher_suites)
    _choose_curves(context, config.curve_preferences)
    _load_certificate(context, config)
    if context.verify_mode is not ssl.CERT_NONE:
        _load_authorities(context, config)
    return context


def names_in(certificate: Any) -> set[str]:
    """The alternative names (DNS, IP address, e-mail, URI) of a certificate as ``getpeercert`` gives it."""
    return {str(value) for _, value in (certificate or {}).get("subjectAltName", ())}


def _choose_ciphers(context: ssl.SSLContext, names: tuple[str, ...]) -> None:
    if chosen := [CIPHERS[name] for name in names if name in CIPHERS]:
        try:
            context.set_ciphers(":".join(chosen))
        except ssl.SSLError:
            raise ConfigError("tls_server_config.cipher_suites: this OpenSSL has none of them") from None


def _choose_curves(context: ssl.SSLContext, names: tuple[str, ...]) -> None:
    if not names or set(names) == set(CURVES):
        return
    if len(names) > 1:
        raise ConfigError(
            "tls_server_config.curve_preferences: Python's TLS can be told one curve, or none for all of them; "
            f"got {', '.join(names)}"
        )
    context.set_ecdh_curve(CURVES[names[0]])


def _load_certificate(context: ssl.SSLContext, config: TLSConfig) -> None:
    with _as_file(config.cert, config.cert_file) as cert, _as_file(config.key, config.key_file) as key:
        for name, path in (("cert_file", cert), ("key_file", key)):
            _readable(f"tls_server_config.{name}", path)
        try:
            # A key with a passphrase would make OpenSSL ask for it on the terminal.
            context.load_cert_chain(cert, key, password=lambda: "")
        except (ssl.SSLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or "no certificate and key in PEM, without a passphrase"
            where = f"{config.cert_file or 'cert'} and {config.key_file or 'key'}"
            raise ConfigError(f"tls_server_config: {where} cannot be used: {reason}") from None


def _load_authorities(context: ssl.SSLContext, config: TLSConfig) -> None:
    if not config.client_ca and config.client_ca_file is None:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)  # as the toolkit does
        return
    with _as_file(config.client_ca, config.client_ca_file) as path:
        _readable("tls_server_config.client_ca_file", path)
        try:
            context.load_verify_locations(path)
        except (ssl.SSLError, OSError, ValueError):
            where = config.client_ca_file or "client_ca"
            raise ConfigError(f"tls_server_config.client_ca_file: {where} has no certificate in PEM") from None


def _readable(key: str, path: Path) -> None:
    try:
        path.open("rb").close()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{key}: cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


@contextmanager
def _as_file(text: str, path: Path | None) -> Iterator[Path]:
    """Python's TLS reads files only; one with what stood in the configuration is gone before this returns."""
    if path is not None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="jobtelemetry-") as folder:  # nobody else may enter it
        made = Path(folder, "pem")
        made.write_text(text, "utf-8")
        yield made
