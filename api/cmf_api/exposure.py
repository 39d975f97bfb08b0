"""Who can reach a server, and whether that is safe: its address, its tokens, its TLS."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path

from cmf.core.errors import SettingsProblem


def check_exposure(host: str, guarded: bool, insecure: bool, proxies: Sequence[str] | None = None) -> None:
    """That a server others can reach asks for a token, unless its owner insists.

    Raises:
        SettingsProblem: it would let everyone in, or a proxy's address is none.
    """
    for proxy in proxies or ():
        try:
            ipaddress.ip_network(proxy)
        except ValueError as exc:
            raise SettingsProblem(f"--proxy {proxy}: {exc}; write its address, such as 10.0.0.5") from exc
    if guarded or insecure or (is_loopback(host) and not proxies):
        return
    reached = f"--proxy {proxies[0]}" if proxies else f"--host {host}"
    raise SettingsProblem(
        f"{reached}: others can reach this server and there is no token: anyone could read and write. Make one with "
        f"'cmf token add NAME', give --token-file FILE, or say --insecure if something in front keeps others out."
    )


def check_tls(cert: Path | None, key: Path | None) -> None:
    """That a certificate and its key can be used.

    Raises:
        SettingsProblem: they cannot.
    """
    if (cert is None) != (key is None):
        raise SettingsProblem("--tls-cert and --tls-key go together")
    if cert is None or key is None:
        return

    def no_password() -> str:
        raise SettingsProblem(f"{key}: the key has a password; a server starts without somebody to type it")

    for file in (cert, key):
        try:
            file.open("rb").close()  # OpenSSL does not say which one is missing
        except OSError as exc:
            raise SettingsProblem(f"{file}: {exc.strerror}") from exc
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, no_password)
    except ssl.SSLError as exc:
        raise SettingsProblem(f"{cert} and {key} are no certificate and its key: {exc.reason or exc}") from exc


def words(guarded: bool, host: str, cert: Path | None, proxies: Sequence[str] | None) -> str:
    """What is to be said at start of who may come in."""
    if not guarded:
        return "no token is asked for: whoever reaches this address may read and write"
    plain = "" if cert or proxies or is_loopback(host) else "; tokens and answers travel unencrypted"
    return f"clients must show a token{plain}"


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is this machine's alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
