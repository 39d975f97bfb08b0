"""What `cmf init` of cmflib does: a clone, DVC with a remote of a kind, and the git remote that it asks for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from cmf.compat.arguments import AnyPath, checked
from cmf.compat.commands import Reply
from cmf.compat.repos import set_remote
from cmf.core.addresses import without_secrets
from cmf.core.errors import SettingsProblem
from cmf.recording import open_repository
from cmf.repository import Repository
from cmf.settings import load, save
from cmf.versioning.dvc_config import default_remote, dvc_root, remotes
from cmf.versioning.dvc_setup import set_default_remote, set_options, set_up

DEFAULT_SERVER: Final = "http://127.0.0.1:80"


class _Option(NamedTuple):
    """How an option of DVC's remote is called, and whether it is kept out of git."""

    name: str
    is_secret: bool = True


_OPTIONS: Final[Mapping[str, Mapping[str, _Option]]] = {
    "local": {},
    "minioS3": {
        "endpoint_url": _Option("endpointurl", is_secret=False),
        "access_key_id": _Option("access_key_id"),
        "secret_key": _Option("secret_access_key"),
    },
    "amazonS3": {
        "access_key_id": _Option("access_key_id"),
        "secret_key": _Option("secret_access_key"),
        "session_token": _Option("session_token"),
    },
    "sshremote": {
        "user": _Option("user", is_secret=False),
        "port": _Option("port", is_secret=False),
        "password": _Option("password"),
    },
    "osdfremote": {},
}
_ADDRESS: Final = {"minioS3": "url", "amazonS3": "url", "osdfremote": "osdf_path"}
"""Which argument is the remote's address; of the others it is `path`."""

_OTHERS: Final = {"osdfremote": ("osdf_cache", "key_id", "key_path", "key_issuer")}
_NEEDED: Final = {"minioS3": ("endpoint_url",)}


@checked
def cmf_init(
    type: str = "",  # noqa: A002 (cmflib's name)
    path: AnyPath = "",
    git_remote_url: str = "",
    cmf_server_url: str = DEFAULT_SERVER,
    url: str = "",
    endpoint_url: str = "",
    access_key_id: str = "",
    secret_key: str = "",
    session_token: str = "",
    user: str = "",
    password: str = "",
    port: int = 0,
    osdf_path: str = "",
    osdf_cache: str = "",
    key_id: str = "",
    key_path: str = "",
    key_issuer: str = "",
    neo4j_user: str | None = None,
    neo4j_password: str | None = None,
    neo4j_uri: str | None = None,
    *,
    access_token: str = "",
) -> Reply:
    """Make a clone of the current folder, set DVC up with a remote for bytes, and name the git remote `cmf_origin`.

    Keys and passwords go to `.dvc/config.local`, which git does not see. Arguments that are not of this `type` are an
    error, and so is one that is missing. Those for Neo4j change nothing: only a server speaks to it.

    Raises:
        SettingsProblem, CmfError
    """
    given: dict[str, Any] = {
        "path": os.fspath(path),
        "git_remote_url": git_remote_url,
        "url": url,
        "endpoint_url": endpoint_url,
        "access_key_id": access_key_id,
        "secret_key": secret_key,
        "session_token": session_token,
        "user": user,
        "password": password,
        "port": str(port) if port else "",
        "osdf_path": osdf_path,
        "osdf_cache": osdf_cache,
        "key_id": key_id,
        "key_path": key_path,
        "key_issuer": key_issuer,
    }
    _check(type, given, access_token)
    here = Path.cwd()
    if git_remote_url:
        set_remote(here, git_remote_url)
    repository = open_repository(here)
    file = repository.folder / "config.toml"
    if cmf_server_url != DEFAULT_SERVER or load(file).server is None:
        save(file, server=cmf_server_url.rstrip("/"))
    return Reply(_set_up_dvc(repository, type, given, access_token, here))


def cmf_init_show() -> Reply:
    """How the clone of the current folder is set up. Passwords and keys are not shown.

    Raises:
        NotARepository
    """
    repository = Repository.find(Path.cwd(), catch_up=False)
    told = [f"clone: {repository.root}", f"server: {repository.settings.server or 'none'}"]
    root = dvc_root(repository.root)
    if root is None:
        told.append("DVC: not set up")
    else:
        default = default_remote(root)
        told += [f"remote: {one.shown}{', default' if one.name == default else ''}" for one in remotes(root).values()]
    return Reply("\n".join(told))


@checked
def non_related_args(type: str, args: Mapping[str, Any]) -> list[str]:  # noqa: A002 (cmflib's name)
    """The arguments that are given and that `cmf_init` has no use for with this type.

    Raises:
        SettingsProblem: there is no such type.
    """
    related = {*_related(type), "git_remote_url"}
    return [name for name, value in args.items() if value not in ("", None, 0) and name not in related]


def _check(type_: str, given: Mapping[str, Any], access_token: str) -> None:
    if unrelated := non_related_args(type_, given):
        raise SettingsProblem(f"{', '.join(unrelated)}: not of {type_}, which takes {', '.join(_related(type_))}")
    for name in (_address(type_), *_NEEDED.get(type_, ())):
        if not given[name]:
            raise SettingsProblem(f"{type_} needs {name}")
    if given["key_id"] and not access_token:
        raise SettingsProblem(
            "a token is not made of a key here; make a SciToken with your own tool, and give it as access_token"
        )


def _related(type_: str) -> list[str]:
    if type_ not in _OPTIONS:
        raise SettingsProblem(f"{type_!r} is no type of remote; it is one of {', '.join(_OPTIONS)}")
    return [_address(type_), *_OPTIONS[type_], *_OTHERS.get(type_, ())]


def _address(type_: str) -> str:
    return _ADDRESS.get(type_, "path")


def _set_up_dvc(repository: Repository, type_: str, given: Mapping[str, Any], access_token: str, here: Path) -> str:
    root = dvc_root(repository.root) or repository.root
    set_up(root, in_git=any((folder / ".git").exists() for folder in (root, *root.parents)))
    name = set_default_remote(root, given[_address(type_)], here)
    shown = {o.name: given[arg] for arg, o in _OPTIONS[type_].items() if given[arg] and not o.is_secret}
    secret = {o.name: given[arg] for arg, o in _OPTIONS[type_].items() if given[arg] and o.is_secret}
    if type_ == "osdfremote":
        shown |= {"method": "PUT"}
        if access_token:
            shown |= {"auth": "custom", "custom_auth_header": "Authorization"}
            secret |= {"password": f"Bearer {access_token}"}
    set_options(root, name, shown, secret)
    return f"{repository.root} is set up; bytes go to DVC's remote {name} ({without_secrets(given[_address(type_)])})"
