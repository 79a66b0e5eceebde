"""TLS of a server: files of a certificate and its key in, a context out, or one line that names the wrong setting; run at a start."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NoReturn

from infra.errors import ConfigurationError


def server_context(certificate: Path, key: Path, *, certificate_setting: str, key_setting: str) -> ssl.SSLContext:
    """TLS 1.2 or newer, with this certificate (its chain after it) and its key, both PEM. Raises ConfigurationError: a file is not there,
    cannot be read, is no PEM, is encrypted, or the two do not belong together."""
    _check_readable(certificate, certificate_setting)
    _check_readable(key, key_setting)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])

    def no_password() -> NoReturn:
        raise ConfigurationError(f"The key that {key_setting} names is encrypted: give one without a password.")

    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except ssl.SSLError as error:
        reason = error.reason or "no PEM"
        if reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(f"The key that {key_setting} names is not that of the certificate of {certificate_setting}.") from None
        names = f"{certificate_setting} and {key_setting}"
        raise ConfigurationError(f"The files that {names} name are not a certificate and its key in PEM ({reason}).") from None
    return context


def certificate_expiry(certificate: Path) -> float | None:
    """When the first certificate of a PEM file expires, in seconds of the epoch; None where this Python cannot tell."""
    # The one decoder of certificates in the standard library. It has no public name, so it may be gone one day.
    decode = getattr(getattr(ssl, "_ssl", None), "_test_decode_cert", None)
    try:
        return None if decode is None else float(ssl.cert_time_to_seconds(decode(str(certificate))["notAfter"]))
    except (ssl.SSLError, KeyError, ValueError):
        return None


def _check_readable(path: Path, setting: str) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"The file that {setting} names cannot be read ({error.strerror}).") from None
