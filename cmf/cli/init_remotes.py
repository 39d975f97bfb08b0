"""`cmf init local` and its like, as in cmflib: a clone, with a DVC remote of a kind. They stand beside `cmf init`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer

from cmf.cli.options import server_url
from cmf.cli.terminal import say


def _text(flag: str, help_: str) -> Any:
    return typer.Option(flag, metavar="TEXT", help=help_)


GitUrl = Annotated[str, _text("--git-remote-url", "The address of git's remote cmf_origin.")]
Server = Annotated[
    str | None, typer.Option("--cmf-server-url", metavar="URL", callback=server_url, help="The server of the clone.")
]
Neo4j = Annotated[str | None, typer.Option(metavar="TEXT", help="Changes nothing: a server speaks to Neo4j.")]
Path = Annotated[str, _text("--path", "Where the bytes go.")]
Url = Annotated[str, _text("--url", "Where the bytes go: s3://BUCKET/PATH.")]
KeyId = Annotated[str, _text("--access-key-id", "The key's id.")]
Secret = Annotated[str, _text("--secret-key", "The key.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group `cmf init`."""
    for name, command in _COMMANDS.items():
        app.command(name, hidden=True, epilog=f"Example: cmf init {name} {command.example}")(command.function)


def local(
    path: Path,
    git_remote_url: GitUrl,
    cmf_server_url: Server = None,
    neo4j_user: Neo4j = None,
    neo4j_password: Neo4j = None,
    neo4j_uri: Neo4j = None,
) -> None:
    """Bytes go to a folder."""
    _init("local", cmf_server_url, path=path, git_remote_url=git_remote_url)


def minio(
    url: Url,
    endpoint_url: Annotated[str, _text("--endpoint-url", "The address of the MinIO server.")],
    access_key_id: KeyId,
    secret_key: Secret,
    git_remote_url: GitUrl,
    cmf_server_url: Server = None,
    neo4j_user: Neo4j = None,
    neo4j_password: Neo4j = None,
    neo4j_uri: Neo4j = None,
) -> None:
    """Bytes go to a MinIO server."""
    keys = {"access_key_id": access_key_id, "secret_key": secret_key}
    _init("minioS3", cmf_server_url, url=url, endpoint_url=endpoint_url, git_remote_url=git_remote_url, **keys)


def amazon(
    url: Url,
    access_key_id: KeyId,
    secret_key: Secret,
    git_remote_url: GitUrl,
    session_token: Annotated[str, _text("--session-token", "A token for the time being.")] = "",
    cmf_server_url: Server = None,
    neo4j_user: Neo4j = None,
    neo4j_password: Neo4j = None,
    neo4j_uri: Neo4j = None,
) -> None:
    """Bytes go to Amazon S3."""
    keys = {"access_key_id": access_key_id, "secret_key": secret_key, "session_token": session_token}
    _init("amazonS3", cmf_server_url, url=url, git_remote_url=git_remote_url, **keys)


def ssh(
    path: Path,
    user: Annotated[str, _text("--user", "Who logs in.")],
    port: Annotated[int, typer.Option("--port", min=1, max=65535, metavar="N", help="The server's port.")],
    password: Annotated[str, _text("--password", "The password.")],
    git_remote_url: GitUrl,
    cmf_server_url: Server = None,
    neo4j_user: Neo4j = None,
    neo4j_password: Neo4j = None,
    neo4j_uri: Neo4j = None,
) -> None:
    """Bytes go to a machine that SSH reaches."""
    login = {"user": user, "port": port, "password": password}
    _init("sshremote", cmf_server_url, path=path, git_remote_url=git_remote_url, **login)


def osdf(
    path: Path,
    git_remote_url: GitUrl,
    cache: Annotated[str, _text("--cache", "Changes nothing: DVC reads from the address itself.")] = "",
    access_token: Annotated[str, _text("--access-token", "A SciToken.")] = "",
    key_id: Annotated[str, _text("--key-id", "Refused: tokens are not made of keys here.")] = "",
    key_path: Annotated[str, _text("--key-path", "As --key-id.")] = "",
    key_issuer: Annotated[str, _text("--key-issuer", "As --key-id.")] = "",
    cmf_server_url: Server = None,
    neo4j_user: Neo4j = None,
    neo4j_password: Neo4j = None,
    neo4j_uri: Neo4j = None,
) -> None:
    """Bytes go to the Open Science Data Federation."""
    keys = {"key_id": key_id, "key_path": key_path, "key_issuer": key_issuer, "access_token": access_token}
    _init("osdfremote", cmf_server_url, osdf_path=path, osdf_cache=cache, git_remote_url=git_remote_url, **keys)


def show() -> None:
    """Show how the clone is set up, without its secrets."""
    from cmf.compat.setting_up import cmf_init_show

    say(cmf_init_show())


def _init(kind: Any, server: str | None, **arguments: Any) -> None:
    from cmf.compat.setting_up import cmf_init

    if server is not None:
        arguments["cmf_server_url"] = server
    say(cmf_init(kind, **arguments))


class _Command(NamedTuple):
    function: Callable[..., None]
    example: str


_GIT = "--git-remote-url https://git.example.org/p.git"
_KEYS = "--access-key-id ID --secret-key KEY"
_COMMANDS = {
    "local": _Command(local, f"--path /data/store {_GIT}"),
    "minioS3": _Command(minio, f"--url s3://bucket --endpoint-url http://minio:9000 {_KEYS} {_GIT}"),
    "amazonS3": _Command(amazon, f"--url s3://bucket {_KEYS} {_GIT}"),
    "sshremote": _Command(ssh, f"--path ssh://host/store --user ana --port 22 --password WORD {_GIT}"),
    "osdfremote": _Command(osdf, f"--path https://osdf.example.org/store --access-token TOKEN {_GIT}"),
    "show": _Command(show, ""),
}
