"""`cmf init local` and its like, as in cmflib: a clone, with a DVC remote of a kind. They stand beside `cmf init`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from typing import Annotated, Any, Final, NamedTuple

import typer

from cmf.cli.groups import Once
from cmf.cli.options import server_url
from cmf.cli.terminal import say


def _text(flag: str, help_: str) -> Any:
    return Annotated[str, typer.Option(flag, metavar="TEXT", help=help_)]


class _Kind(NamedTuple):
    """A kind of remote: its options by the arguments of `cmf_init` that they are, of which some are `optional`."""

    help: str
    example: str
    options: Mapping[str, Any]
    optional: Mapping[str, Any] = {}


_PATH: Final = _text("--path", "Where the bytes go.")
_URL: Final = _text("--url", "Where the bytes go: s3://BUCKET/PATH.")
_KEYS: Final = {
    "access_key_id": _text("--access-key-id", "The key's id."),
    "secret_key": _text("--secret-key", "The key."),
}
_PORT: Final = Annotated[int, typer.Option("--port", min=1, max=65535, metavar="N", help="The server's port.")]
_GIT: Final = _text("--git-remote-url", "The address of git's remote cmf_origin.")
_SERVER: Final = Annotated[
    str | None, typer.Option("--cmf-server-url", metavar="URL", callback=server_url, help="The server of the clone.")
]
_NEO4J: Final = Annotated[str | None, typer.Option(metavar="TEXT", help="Changes nothing: a server speaks to Neo4j.")]
_OF_ALL: Final = {
    "cmf_server_url": _SERVER,
    "neo4j_user": _NEO4J,
    "neo4j_password": _NEO4J,
    "neo4j_uri": _NEO4J,
}

_KINDS: Final[Mapping[str, _Kind]] = {
    "local": _Kind("Bytes go to a folder.", "--path /data/store", {"path": _PATH}),
    "minioS3": _Kind(
        "Bytes go to a MinIO server.",
        "--url s3://bucket --endpoint-url http://minio:9000 --access-key-id ID --secret-key KEY",
        {"url": _URL, "endpoint_url": _text("--endpoint-url", "The address of the MinIO server."), **_KEYS},
    ),
    "amazonS3": _Kind(
        "Bytes go to Amazon S3.",
        "--url s3://bucket --access-key-id ID --secret-key KEY",
        {"url": _URL, **_KEYS},
        {"session_token": _text("--session-token", "A token for the time being.")},
    ),
    "sshremote": _Kind(
        "Bytes go to a machine that SSH reaches.",
        "--path ssh://host/store --user ana --port 22 --password WORD",
        {
            "path": _PATH,
            "user": _text("--user", "Who logs in."),
            "port": _PORT,
            "password": _text("--password", "The password."),
        },
    ),
    "osdfremote": _Kind(
        "Bytes go to the Open Science Data Federation.",
        "--path https://osdf.example.org/store --access-token TOKEN",
        {"osdf_path": _PATH},
        {
            "osdf_cache": _text("--cache", "Changes nothing: DVC reads from the address itself."),
            "access_token": _text("--access-token", "A SciToken."),
            "key_id": _text("--key-id", "Refused: tokens are not made of keys here."),
            "key_path": _text("--key-path", "As --key-id."),
            "key_issuer": _text("--key-issuer", "As --key-id."),
        },
    ),
}


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group `cmf init`."""
    for name, kind in _KINDS.items():
        example = f"Example: cmf init {name} {kind.example} --git-remote-url https://git.example.org/p.git"
        app.command(name, cls=Once, hidden=True, help=kind.help, epilog=example)(_command(name, kind))
    app.command("show", hidden=True, epilog="Example: cmf init show")(show)


def show() -> None:
    """Show how the clone is set up, without its secrets."""
    from cmf.compat.setting_up import cmf_init_show

    say(cmf_init_show())


def _command(name: str, kind: _Kind) -> Callable[..., None]:
    """The function that Typer makes a command of: what its options are, its signature says."""

    def command(**given: Any) -> None:
        from cmf.compat.setting_up import cmf_init

        say(cmf_init(name, **{argument: value for argument, value in given.items() if value is not None}))

    needed = {**kind.options, "git_remote_url": _GIT}
    parameters = [Parameter(option, Parameter.KEYWORD_ONLY, annotation=of) for option, of in needed.items()]
    for default, options in (("", kind.optional), (None, _OF_ALL)):
        parameters += [
            Parameter(option, Parameter.KEYWORD_ONLY, default=default, annotation=of) for option, of in options.items()
        ]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return command
