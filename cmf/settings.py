"""The settings of a clone: arguments, then environment, then `.cmf/config.toml`, then defaults."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from cmf.core.errors import InvalidValue, SettingsProblem
from cmf.core.values import check_name

Versioning = Literal["git", "none"]
Data = Literal["dvc", "none"]
Switch = Literal["on", "off"]
Push = Literal["manual", "continuous"]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value for a whole program."""

    server: str | None = None
    """The server's address for push, pull and remote queries (`CMF_SERVER`)."""
    token: str | None = None
    """What a server that wants one is shown (`CMF_TOKEN`, or the file that `CMF_TOKEN_FILE` names; never this file)."""
    project: str | None = None
    """The project's name, where the git remote or the folder's name will not do (`CMF_PROJECT`)."""
    pipeline: str | None = None
    """The pipeline of steps and programs that name none, instead of the clone's folder (`CMF_PIPELINE`)."""
    namespace: str | None = None
    """Keeps pipelines of one name apart: equal names in different namespaces are different (`CMF_NAMESPACE`)."""
    versioning: Versioning = "git"
    """`git` records the code's commit and keeps a branch for each execution, `none` does not (`CMF_VERSIONING`)."""
    data: Data = "dvc"
    """`dvc` keeps data in DVC's cache where DVC is set up, `none` only hashes it (`CMF_DATA`)."""
    sha256: Switch = "on"
    """Whether files get a sha256 beside their md5, in the same pass (`CMF_SHA256`)."""
    environment: Switch = "on"
    """Whether each execution has the environment it ran in as an input (`CMF_ENVIRONMENT`)."""
    push: Push = "manual"
    """`continuous` sends what is recorded to the server at once, in the background (`CMF_PUSH`)."""
    push_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 5.0
    """How long a process may wait at its end for what is not sent yet, with `continuous` (`CMF_PUSH_SECONDS`)."""


def load(file: Path, **arguments: str | None) -> Settings:
    """The settings in force for the clone whose file this is; arguments that are None do not count.

    Raises:
        SettingsProblem: the file or a value is malformed.
    """
    values = {**_from_file(file), **_from_environment(), **{k: v for k, v in arguments.items() if v is not None}}
    try:
        settings = msgspec.convert(values, Settings)
        for name in ("project", "pipeline", "namespace"):
            if (value := getattr(settings, name)) is not None:
                check_name(value, f"the setting {name}")
    except (msgspec.ValidationError, InvalidValue) as exc:
        raise SettingsProblem(f"{file} and the environment's CMF_*: {exc}") from exc
    if settings.token is not None and not (settings.token.isascii() and settings.token.isprintable()):
        raise SettingsProblem("CMF_TOKEN: a token is printable ASCII")
    return settings


def save(file: Path, **changes: str) -> None:
    """Write settings into a clone's file, beside those that are there."""
    values = {**_from_file(file), **changes}
    lines = [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in sorted(values.items())]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _from_file(file: Path) -> dict[str, object]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise SettingsProblem(f"{file}: {exc}") from exc
    if "token" in values:
        raise SettingsProblem(f"{file}: a token does not belong here; set CMF_TOKEN or CMF_TOKEN_FILE")
    return values


def _from_environment() -> dict[str, object]:
    found: dict[str, object] = {}
    for name in Settings.__struct_fields__:
        if value := os.environ.get(f"CMF_{name.upper()}"):
            found[name] = _number(value) if name == "push_seconds" else value
    if (file := os.environ.get("CMF_TOKEN_FILE")) and "token" not in found:
        try:
            found["token"] = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise SettingsProblem(f"CMF_TOKEN_FILE: {file}: {getattr(exc, 'strerror', None) or exc}") from exc
    return found


def _number(text: str) -> object:
    """A number that the environment holds as text; what is none is refused with the rest."""
    try:
        return float(text)
    except ValueError:
        return text
