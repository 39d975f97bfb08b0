"""`cmf server` and what keeps its store: joins the command line through the entry point group `cmf.commands`."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cmf.core.store import Store

server = typer.Typer(invoke_without_command=True, subcommand_metavar="[COMMAND]", add_completion=False)
"""A group: `cmf server` alone serves; the commands that stand below it work on a store that is at rest."""


@server.callback(epilog="Example: cmf server --store sqlite:////srv/cmf/graph.db --port 8080")
def serve(
    ctx: typer.Context,
    store: Annotated[
        str | None, typer.Option(help="sqlite:///FILE (embedded; default: in your data folder) or neo4j://HOST:PORT.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")] = 8080,
    home: Annotated[
        Path | None, typer.Option(help="The folder of the files that the server keeps beside its store.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="A file with one token that may do everything, beside those made here.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="A certificate with its chain (PEM): serve https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key (PEM), without a password.")] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Believe this proxy's X-Forwarded-For and -Proto; may be repeated."),
    ] = None,
    store_password_file: Annotated[
        Path | None, typer.Option(help="A file with a Neo4j's password, or user/password.")
    ] = None,
    freshness_seconds: Annotated[
        float, typer.Option(min=0, max=60, help="How long a read waits for what it asks to know of (at_least).")
    ] = 2.0,
    archive: Annotated[
        bool, typer.Option("--archive/--no-archive", help="Keep everything that is accepted, as it was received.")
    ] = True,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="How many processes serve this address, one for each core, say.")
    ] = 1,
    rate: Annotated[
        float | None,
        typer.Option(min=0, help="Requests a second of one client, on average; 0: any. On loopback 0, else 100."),
    ] = None,
    insecure: Annotated[bool, typer.Option(help="Listen beyond this machine without asking for a token.")] = False,
    log_level: Annotated[str, typer.Option(help="The least that is logged: debug, info, warning, error.")] = "info",
    log_file: Annotated[Path | None, typer.Option(help="A file for the log, instead of stderr.")] = None,
    grace: Annotated[int, typer.Option(min=1, help="How many seconds requests in progress have at the end.")] = 20,
    min_free: Annotated[int, typer.Option(min=0, help="MiB of disk below which the server is not ready.")] = 100,
) -> None:
    """Serve a graph: sites push to it, everyone asks it."""
    if ctx.invoked_subcommand is not None:
        _refuse_own_options(ctx)
        return
    from cmf.core.errors import MissingExtra

    try:
        import uvicorn

        from cmf_api.app import create_app
        from cmf_api.audit import AUDIT_FILE, AuditLog
    except ImportError as exc:
        raise MissingExtra("cmf server", "server") from exc
    from cmf import own_process
    from cmf_api.connections import guarded as guarded_by
    from cmf_api.connections import limits_of
    from cmf_api.exposure import check_exposure, check_tls, is_loopback, words
    from cmf_api.home import default_store, home_of
    from cmf_api.limits import READ_SECONDS
    from cmf_api.logs import configure
    from cmf_api.metrics import count_together
    from cmf_api.serving import serve_until_told
    from cmf_api.settings import ServerSettings, read_secret
    from cmf_api.stores import open_store
    from cmf_api.tokens import TOKENS_FILE, Tokens
    from cmf_api.workers import Workers

    url = store or default_store()
    settings = ServerSettings(
        home=home or home_of(url),
        token=_token(token_file),
        any_host=insecure,
        freshness_seconds=freshness_seconds,
        archive=archive,
        min_free_bytes=min_free << 20,
        limits=limits_of(rate, is_open=bool(proxy) or not is_loopback(host)),
    )
    guarded = Tokens(settings.home / TOKENS_FILE, settings.token).are_asked()
    check_exposure(host, guarded, insecure, proxy)
    check_tls(tls_cert, tls_key)
    AuditLog(settings.home / AUDIT_FILE).check()
    configure(log_level, log_file).close()  # told now rather than when it serves
    secret = read_secret(store_password_file) if store_password_file else None
    opened = open_store(url, secret, READ_SECONDS)

    def serve_here(store: Store) -> None:
        app = create_app(settings, store)
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=grace,
            timeout_keep_alive=settings.limits.idle_seconds,
            http=guarded_by(settings.limits),
            ws="none",
            proxy_headers=bool(proxy),
            forwarded_allow_ips=list(proxy or ()),
            server_header=False,
            ssl_certfile=tls_cert,
            ssl_keyfile=tls_key,
        )
        log = configure(log_level, log_file)
        # uvicorn stops in good order and then raises the signal again; that is an end, not a failure.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            serve_until_told(app, config, sockets, log)
        finally:
            log.close()

    sockets = [_listen(host, port)]
    own_process.suit()
    address, bound = sockets[0].getsockname()[:2]
    address = f"[{address}]" if ":" in address else address
    scheme = "https" if tls_cert else "http"
    typer.echo(
        f"cmf server on {scheme}://{address}:{bound}, store {_shown(url)}; {words(guarded, host, tls_cert, proxy)}"
        + (f"; {workers} workers" if workers > 1 else "")
    )
    if workers == 1:
        serve_here(opened)
    else:
        count_together(settings.home / "metrics")
        opened.close()  # each worker has its own; this one has shown that there can be one
        Workers(
            workers, lambda: serve_here(open_store(url, secret, READ_SECONDS)), _tell, stop_seconds=grace + 20
        ).run()


def _tell(text: str) -> None:
    typer.echo(f"cmf server: {text}", err=True)


def _refuse_own_options(ctx: typer.Context) -> None:
    """Options before the name of another command would be lost."""
    for name in ctx.params:
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = name.replace("_", "-")
            raise typer.BadParameter(f"--{option} is said behind 'cmf server {ctx.invoked_subcommand}'")


def _token(file: Path | None) -> str | None:
    """The token to ask for; None where none is set. One that is set and empty is a mistake, not an invitation."""
    from cmf_api.settings import check_secret, read_secret

    if file is not None:
        return read_secret(file)
    given = os.environ.get("CMF_SERVER_TOKEN")
    return None if given is None else check_secret(given.strip(), "CMF_SERVER_TOKEN")


def _listen(host: str, port: int) -> socket.socket:
    from cmf.core.errors import SettingsProblem

    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as exc:
        raise SettingsProblem(
            f"cannot listen on {host} port {port}: {exc.strerror or exc}; take another --port"
        ) from exc
    # asyncio sets this only on sockets that name their protocol. Without it the body of an answer waits 40 ms for
    # the client's acknowledgement of its head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _shown(url: str) -> str:
    """A store's URL without the password that may be in it."""
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]


def _add_commands() -> None:
    """The commands below `cmf server`: each a module of `cmf_api.commands`."""
    from cmf_api.commands import backup
    from cmf_api.commands.migrate import EXAMPLE as OF_MIGRATE
    from cmf_api.commands.migrate import migrate
    from cmf_api.commands.prune import EXAMPLE as OF_PRUNE
    from cmf_api.commands.prune import prune
    from cmf_api.commands.rebuild import EXAMPLE as OF_REBUILD
    from cmf_api.commands.rebuild import rebuild
    from cmf_api.commands.upstream import upstream

    server.command("backup", epilog=backup.BACKUP_EXAMPLE)(backup.backup)
    server.command("restore", epilog=backup.RESTORE_EXAMPLE)(backup.restore)
    server.command("rebuild", epilog=OF_REBUILD)(rebuild)
    server.command("migrate", epilog=OF_MIGRATE)(migrate)
    server.command("prune", epilog=OF_PRUNE)(prune)
    server.add_typer(upstream, name="upstream")


_add_commands()
