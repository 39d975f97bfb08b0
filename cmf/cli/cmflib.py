"""The commands of cmflib, as aliases of what is called otherwise here: `cmf metadata push -p PIPELINE` and the like."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cmf.cli.groups import Once, group
from cmf.cli.terminal import say

Pipeline = Annotated[str, typer.Option("-p", "--pipeline_name", metavar="NAME", help="The pipeline.")]
File = Annotated[
    str, typer.Option("-f", "--file_name", metavar="PATH", help="Names no file: the clone is in the folder it is in.")
]
Uuid = Annotated[str | None, typer.Option("-e", "--execution_uuid", metavar="UUID", help="One execution.")]
Board = Annotated[
    str | None, typer.Option("-t", "--tensorboard_path", metavar="PATH", help="Logs of TensorBoard; they are not sent.")
]
Jobs = Annotated[int, typer.Option("-j", "--jobs", min=1, metavar="N", help="Transfers at once.")]
Name = Annotated[str | None, typer.Option("-a", "--artifact_name", metavar="NAME", help="One artifact.")]

JOBS = 32


def _group(name: str, example: str) -> typer.Typer:
    return group(name, f"As in cmflib: {name}.", example)


metadata = _group("metadata", "metadata push -p digits")
artifact = _group("artifact", "artifact pull -p digits -a model.pkl")
execution = _group("execution", "execution list -p digits")
pipeline = _group("pipeline", "pipeline list")
repo = _group("repo", "repo push -p digits")

GROUPS = (metadata, artifact, execution, pipeline, repo)


@metadata.command("push", cls=Once, epilog="Example: cmf metadata push -p digits")
def metadata_push(
    pipeline_name: Pipeline, file_name: File = "./mlmd", execution_uuid: Uuid = None, tensorboard_path: Board = None
) -> None:
    """Send the clone's metadata, as `cmf push --metadata-only` does."""
    from cmf.compat import commands

    say(commands.metadata_push(pipeline_name, file_name, tensorboard_path, execution_uuid))


@metadata.command("pull", cls=Once, epilog="Example: cmf metadata pull -p digits")
def metadata_pull(pipeline_name: Pipeline, file_name: File = "./mlmd", execution_uuid: Uuid = None) -> None:
    """Bring a pipeline's metadata, as `cmf pull --pipeline` does."""
    from cmf.compat import commands

    say(commands.metadata_pull(pipeline_name, file_name, execution_uuid))


@metadata.command("export", cls=Once, epilog="Example: cmf metadata export -p digits -j digits.json")
def metadata_export(
    pipeline_name: Pipeline,
    json_file_name: Annotated[str | None, typer.Option("-j", "--json_file_name", metavar="FILE")] = None,
    file_name: File = "./mlmd",
) -> None:
    """Write a pipeline as JSON in cmflib's form."""
    from cmf.compat import commands

    file = Path(json_file_name or f"{pipeline_name}.json")
    asked = file.exists() and sys.stdin.isatty()
    if asked:
        typer.confirm(f"{file} is there already; overwrite it?", abort=True)
    say(commands.metadata_export(pipeline_name, json_file_name, file_name, overwrite=asked))


@artifact.command("push", cls=Once, epilog="Example: cmf artifact push -p digits")
def artifact_push(pipeline_name: Pipeline, file_name: File = "./mlmd", jobs: Jobs = JOBS) -> None:
    """Send the bytes of artifacts, as `cmf artifacts push` does."""
    from cmf.compat import commands

    say(commands.artifact_push(pipeline_name, file_name, jobs))


@artifact.command("pull", cls=Once, epilog="Example: cmf artifact pull -p digits -a model.pkl")
def artifact_pull(pipeline_name: Pipeline, file_name: File = "./mlmd", artifact_name: Name = None) -> None:
    """Bring the bytes of a pipeline's artifacts, as `cmf artifacts pull` does."""
    from cmf.compat import commands

    say(commands.artifact_pull(pipeline_name, file_name, artifact_name))


@artifact.command("list", cls=Once, epilog="Example: cmf artifact list -p digits")
def artifact_list(pipeline_name: Pipeline, file_name: File = "./mlmd", artifact_name: Name = None) -> None:
    """List a pipeline's artifacts."""
    from cmf.compat import commands

    say(commands.artifact_list(pipeline_name, file_name, artifact_name))


@execution.command("list", cls=Once, epilog="Example: cmf execution list -p digits")
def execution_list(pipeline_name: Pipeline, file_name: File = "./mlmd", execution_uuid: Uuid = None) -> None:
    """List a pipeline's executions."""
    from cmf.compat import commands

    say(commands.execution_list(pipeline_name, file_name, execution_uuid))


@pipeline.command("list", cls=Once, epilog="Example: cmf pipeline list")
def pipeline_list(file_name: File = "./mlmd") -> None:
    """List the pipelines, as Python writes a list."""
    from cmf.compat import commands

    say(commands.pipeline_list(file_name))


@repo.command("push", cls=Once, epilog="Example: cmf repo push -p digits")
def repo_push(
    pipeline_name: Pipeline,
    file_name: File = "./mlmd",
    execution_uuid: Uuid = None,
    tensorboard_path: Board = None,
    jobs: Jobs = JOBS,
) -> None:
    """Send bytes, metadata, and the branch of git that is checked out."""
    from cmf.compat import commands

    say(commands.repo_push(pipeline_name, file_name, tensorboard_path, execution_uuid, jobs))


@repo.command("pull", cls=Once, epilog="Example: cmf repo pull -p digits")
def repo_pull(pipeline_name: Pipeline, file_name: File = "./mlmd", execution_uuid: Uuid = None) -> None:
    """Bring metadata, the branch of git that is checked out, and bytes."""
    from cmf.compat import commands

    say(commands.repo_pull(pipeline_name, file_name, execution_uuid))
