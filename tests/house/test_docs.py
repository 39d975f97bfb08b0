"""The pages tell the truth: each setting, command, option, route and error stands in them, and links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_each_setting_stands_in_the_docs() -> None:
    from cmf.settings import Settings

    page = (DOCS / "recording.md").read_text()
    for name in Settings.__struct_fields__:
        assert f"| `{name}` | `CMF_{name.upper()}`" in page


def test_each_command_stands_in_the_docs() -> None:
    import click
    from typer.main import get_command

    from cmf.cli.program import app

    commands = get_command(app).list_commands(click.Context(click.Command("cmf")))  # type: ignore[attr-defined]
    page = (DOCS / "recording.md").read_text()
    assert {"init", "server"} <= set(commands)  # ours, and one that joined
    assert set(commands) == set(re.findall(r"^\| `cmf (\w+)", page, re.MULTILINE))


def test_each_option_of_the_server_stands_in_the_docs() -> None:
    from typer.main import get_command

    from cmf_api.command import server

    page = (DOCS / "server.md").read_text()
    options = [option for parameter in get_command(server).params for option in parameter.opts if option != "--help"]
    assert len(options) >= 6
    for option in options:
        assert f"`{option}`" in page or f"`{option}`" in page.replace("`, `", "`\n`"), option


def test_each_option_of_run_stands_in_the_docs() -> None:
    import typer
    from typer.main import get_command

    from cmf.cli.run import run

    app = typer.Typer(add_completion=False)
    app.command()(run)
    page = (DOCS / "tracking.md").read_text()
    options = [option for p in get_command(app).params for option in p.opts if option.startswith("-")]
    assert len(options) >= 14
    for option in options:
        assert re.search(rf"`{option}[` ]", page), option


def test_each_route_stands_in_the_docs(tmp_path: Path) -> None:
    from cmf.stores.memory import MemoryStore
    from cmf_api.app import create_app
    from cmf_api.settings import ServerSettings

    page = (DOCS / "server.md").read_text()
    for path in create_app(ServerSettings(home=tmp_path), MemoryStore()).openapi()["paths"]:
        shown = path.replace("{asked}", "{prefix}")
        assert f"{shown}`" in page, path


def test_each_operation_and_refusal_stands_in_the_protocol() -> None:
    from cmf.core.operations import Operation

    page = (DOCS / "protocol.md").read_text()
    for operation in Operation.__args__:
        assert f"| `{operation.__name__}` |" in page
    for code in ("Gap", "TooLarge", "BadRecord", "ChainBroken"):
        assert f"`{code}`" in page


@pytest.mark.parametrize(
    "page", sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("*/*/README.md"), *ROOT.glob("docker/*.md")])
)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_nothing_names_a_registry_or_a_path_of_some_machine() -> None:
    import subprocess

    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    host = re.compile(r"https?://[^ \"]*(registry|mirror|proxy|artifactory|nexus)[^ \"]*")
    for name in filter(None, listed):
        file = ROOT / name
        if file.suffix in (".md", ".toml", ".xml", ".yaml", ".json", ".py", "") and file.is_file():
            assert not host.search(file.read_text(errors="replace")), name


def test_each_alias_and_method_of_cmflib_stands_on_the_migration_page() -> None:
    import click
    from typer.main import get_command

    import cmf
    from cmf.cli.program import app
    from cmf.cmfquery import CmfQuery

    page = (DOCS / "migration.md").read_text()
    group = get_command(app)
    hidden = [name for name, command in group.commands.items() if command.hidden]  # type: ignore[attr-defined]
    assert sorted(hidden) == ["artifact", "execution", "metadata", "pipeline", "repo"]
    for name in [*hidden, "init"]:
        of = group.get_command(click.Context(click.Command("cmf")), name)  # type: ignore[attr-defined]
        for alias in of.commands:
            assert f"`cmf {name} {alias}`" in page or (name == "init" and f"`{alias}`" in page), alias
    for public in (cmf.Cmf, cmf.Cmf.DataSlice, CmfQuery):
        for method in dir(public):
            if (
                not method.startswith("_")
                and callable(getattr(public, method))
                and method not in ("DataSlice", "replay")
            ):
                assert re.search(rf"\b{method}\b", page), method
