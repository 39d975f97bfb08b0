"""DVC set up in a folder: what `dvc init` and `dvc remote add -d` write, without DVC, and without git's index."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from cmf.core.addresses import is_address, without_secrets
from cmf.core.errors import FileProblem, SettingsProblem
from cmf.versioning.dvc_config import FOLDER, default_remote, remotes

NAME = "storage"
"""What a remote is called that is made here."""

_IGNORED = "/config.local\n/tmp\n/cache\n"
_DVCIGNORE = """\
# Add patterns of files dvc should ignore, which could improve
# the performance. Learn more at
# https://dvc.org/doc/user-guide/dvcignore
"""
_SECTION = re.compile(r"^\s*\[(.*)\]\s*$")


def set_up(root: Path, *, in_git: bool) -> list[str]:
    """Make the files that are not there yet; → which those were."""
    files = {
        f"{FOLDER}/.gitignore": _IGNORED if in_git else None,
        ".dvcignore": _DVCIGNORE,
        f"{FOLDER}/config": "" if in_git else "[core]\n    no_scm = True\n",  # last: it is what makes it DVC's
    }
    made = []
    for name, text in files.items():
        if text is None:
            continue
        try:
            (root / name).parent.mkdir(exist_ok=True)
            with (root / name).open("x", encoding="utf-8") as file:
                file.write(text)
            made.append(name)
        except FileExistsError:
            pass
        except OSError as exc:
            raise FileProblem(root / name, f"cannot be made ({exc.strerror or exc})") from exc
    return made


def set_default_remote(root: Path, address: str, here: Path) -> str:
    """Make a remote the default one, and add it if none has this address; → its name. None that is there is changed.

    A path counts from the folder `here`, and is written as DVC writes it.

    Raises:
        SettingsProblem: the address cannot be written down.
    """
    url = _checked(root, address, here)
    file = root / FOLDER / "config"
    known = remotes(root)
    name = next((r.name for r in known.values() if r.url == url and r.file == file), None) or _free_name(known)
    if default_remote(root) == name and name in known:
        return name
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        lines = _with(lines, "core", "remote", name)
        if name not in known:
            lines = _with(lines, f"'remote \"{name}\"'", "url", _quoted(url))
        draft = file.with_name("config.cmf-draft")
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
        draft.replace(file)
    except OSError as exc:
        raise FileProblem(file, f"cannot be written ({exc.strerror or exc})") from exc
    if default_remote(root) != name:
        raise SettingsProblem(f"{file.with_name('config.local')} names another default remote, which counts before it")
    return name


def set_options(root: Path, remote: str, options: Mapping[str, str], secret: Mapping[str, str]) -> None:
    """Set options of a remote: secret ones in a file that git does not see and nobody else can read.

    Raises:
        SettingsProblem: a value cannot be written down.
        FileProblem: a file cannot be written.
    """
    for name, values in (("config", options), ("config.local", secret)):
        if not values:
            continue
        file = root / FOLDER / name
        try:
            lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
            for option, value in values.items():
                lines = _with(lines, f"'remote \"{remote}\"'", option, _quoted(_printable(option, value)))
            draft = file.with_name(f"{name}.cmf-draft")
            draft.touch(0o600 if values is secret else 0o644)
            draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
            draft.replace(file)
        except OSError as exc:
            raise FileProblem(file, f"cannot be written ({exc.strerror or exc})") from exc


def _printable(option: str, value: str) -> str:
    if not value.isprintable() or ('"' in value and "'" in value):
        raise SettingsProblem(f"the value of {option} cannot be written down; set it with 'dvc remote modify --local'")
    return value


def _checked(root: Path, address: str, here: Path) -> str:
    if not address or not address.isprintable() or ('"' in address and "'" in address):
        raise SettingsProblem(f"{address!r} is no address of a DVC remote; write it as /a/folder or s3://BUCKET/PATH")
    if without_secrets(address) != address:
        raise SettingsProblem(
            f"{without_secrets(address)}: an address is kept in git, so it does not hold a password; set it with "
            f"'dvc remote modify --local {NAME} password …'"
        )
    if is_address(address) or address.startswith("~") or Path(address).is_absolute():
        return address
    return os.path.relpath(here / address, root / FOLDER)


def _free_name(taken: Collection[str]) -> str:
    numbered = (NAME if n == 1 else f"{NAME}-{n}" for n in range(1, len(taken) + 2))
    return next(name for name in numbered if name not in taken)


def _with(lines: list[str], section: str, name: str, value: str) -> list[str]:
    """Lines of settings in which one has a value; all others stay as they are."""
    row = f"    {name} = {value}"
    titles = [found[1] if (found := _SECTION.match(line)) else None for line in lines]
    if section not in titles:
        return [*lines, f"[{section}]", row]
    first = titles.index(section) + 1
    end = next((at for at in range(first, len(lines)) if titles[at] is not None), len(lines))
    for at in range(first, end):
        if re.match(rf"\s*{name}\s*=", lines[at]):
            return [*lines[:at], row, *lines[at + 1 :]]
    return [*lines[:end], row, *lines[end:]]


def _quoted(url: str) -> str:
    if '"' in url:
        return f"'{url}'"
    return f'"{url}"' if re.search(r"[#,';]|^\s|\s$", url) else url
