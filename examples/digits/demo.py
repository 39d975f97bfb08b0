"""Three sites, one pipeline, one graph: runs the digits example as a user would, each command a process of its own.

    python examples/digits/demo.py                      the graph in an embedded store
    python examples/digits/demo.py --store neo4j        the graph in a real Neo4j, started here without Docker
    python examples/digits/demo.py --store neo4j://…    the graph in a Neo4j that runs already

Everything it makes is in the folder `demo/` of this repository, which it empties first.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
LAUNCHER = REPOSITORY / "docker" / "neo4j-local" / "launch.py"
STAGES = ("prepare.py", "split.py", "train.py", "evaluate.py", "select_model.py")
HIDDEN = (10, 16, 32)
MADE_HERE = ".made-by-the-digits-demo"
STEPS = 7

# Images whose label a second reader disputes; to a model that has not seen them, too, they look like another digit.
DISPUTED_ROWS = (5, 421, 480, 1658, 1662)

# The screen is the demo's own business: what the user's settings would change of it is left out.
OURS = {name: value for name, value in os.environ.items() if not name.startswith(("CMF_", "GIT_"))}
ENVIRONMENT = OURS if sys.stdout.isatty() else {"COLUMNS": "120", **OURS}
GIT_AS = ("-c", "user.name=Demo", "-c", "user.email=demo@example.org", "-c", "commit.gpgsign=false")

screen = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 120)


def main() -> int:
    """Run the demo; → its exit code."""
    options = parse()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(143))  # unwinds, so that what we started is stopped
    try:
        empty(options.folder)
        with ExitStack() as until_the_end:
            store = options.store
            browser = None
            if store == "sqlite":
                store = f"sqlite:///{options.folder / 'server.db'}"
            elif store == "neo4j":
                store, browser = until_the_end.enter_context(neo4j(options.folder / "neo4j"))
            tell(options.folder, store)
            if browser:
                show_browser(browser, options.folder / "neo4j", wait=options.wait)
    except KeyboardInterrupt:
        say("\nStopped.")
        return 130
    return 0


def tell(folder: Path, store: str) -> None:
    """The story."""
    started = time.monotonic()
    a, b, c = clones(folder)
    with server(store) as url:
        site_a_prepares(a, url)
        selected = site_b_trains(b, a, url)
        old_raw = site_a_corrects(a)
        site_c_pulls(c, url, selected)
    site_c_asks(c, selected)
    site_c_makes_it_again(c)
    what_next(c, selected, seconds=time.monotonic() - started)
    serve_again(store, url, old_raw)


# --- The story, step by step ------------------------------------------------------------------------------------------


def site_a_prepares(a: Site, url: str) -> None:
    """Site A has the raw data."""
    step(2, "Site A prepares the data", "Scripts with a `with cmf.run(…)` in them record what they read and wrote.")
    a.cmf("init", "--server", url, "--project", "digits")
    a.python("prepare.py")
    a.python("split.py")
    a.cmf("push")


def site_b_trains(b: Site, a: Site, url: str) -> str:
    """Site B has the machines; → the key of the model that it selects."""
    step(3, "Site B trains three models and selects one", "It gets two data files, and knows nothing else of site A.")
    copy(a, b, "data/train.npz", "data/test.npz")
    b.cmf("init", "--server", url, "--project", "digits")
    for hidden in HIDDEN:
        b.python("train.py", "--hidden", str(hidden))
    for hidden in HIDDEN:
        b.python("evaluate.py", f"models/hidden-{hidden}.pkl")
    b.python("select_model.py")
    b.cmf("log", "--stage", "evaluate")
    b.cmf("push")
    b.git("push", "--quiet", "origin", "refs/heads/cmf/*")
    return b.key("models/selected.pkl")


def site_a_corrects(a: Site) -> str:
    """The raw data changes: which models were made from what it was? → the key of what it was."""
    step(4, "Site A corrects the raw data", f"{len(DISPUTED_ROWS)} images are labelled wrongly: which models saw them?")
    old = a.key("data/raw.csv")
    lines = Path(a.folder, "data/raw.csv").read_text().splitlines(keepends=True)
    kept = [line for row, line in enumerate(lines, start=-1) if row not in DISPUTED_ROWS]  # row -1 is the header
    a.shows(f"edit data/raw.csv      (rows {', '.join(map(str, DISPUTED_ROWS))} are deleted)")
    Path(a.folder, "data/raw.csv").write_text("".join(kept))
    a.python("prepare.py")
    a.cmf("push")
    a.cmf("lineage", short(old), "--down", "--remote")
    touched, untouched = a.models_from(short(old)), a.models_from("data/raw.csv")
    answer(f"{len(touched)} models saw the old raw data and need training again: {', '.join(touched)}.")
    answer(f"The corrected raw data has touched {', '.join(untouched) or 'no model'} yet.")
    return old


def site_c_pulls(c: Site, url: str, selected: str) -> None:
    """Site C is an empty clone that wants to know about one model."""
    step(5, "Site C pulls the lineage of the selected model", "All that led to it and came of it; no data is copied.")
    c.cmf("init", "--server", url, "--project", "digits")
    c.cmf("pull", "--artifacts", short(selected))


def site_c_asks(c: Site, selected: str) -> None:
    """The server is gone by now."""
    step(6, "Site C asks where the model came from", "The server is stopped: this is answered by the clone itself.")
    c.cmf("lineage", short(selected), "--up")
    c.cmf("lineage", short(selected), "--up", "-o", "../selected-model.html")


def site_c_makes_it_again(c: Site) -> None:
    """What was recorded of the training is enough to repeat it, anywhere."""
    model = best_model(c)
    step(7, "Site C makes the selected model again", "The code comes from git, the data from the store of bytes.")
    c.cmf("show", model)
    c.cmf("reproduce", model, "--run", "-o", "../again")
    answer("The same model, to the byte, in a folder of its own.")


def what_next(c: Site, selected: str, *, seconds: float) -> None:
    """Commands to paste; each works as it stands."""
    screen.print()
    screen.print(Rule(Text(f"Done in {seconds:.0f} s", style="bold green"), style="green"))
    say(f"\nThe picture, to open in a browser:  {relative(c.folder.parent / 'selected-model.html')}")
    say("\nWhat to try next, without any server:\n")
    command(f"cd {shlex.quote(relative(c.folder))}")
    ours = Path(sys.executable).parent
    if Path(shutil.which("cmf") or "").parent != ours:  # none, or another program of that name
        command(f'export PATH="{ours}:$PATH"')
    command("cmf log", "The runs of sites A and B, as site C knows them:")
    command("cmf show data/train.npz", "All about one file, by its path or its key:")
    command("cmf lineage data/test.npz --down", "What it has touched:")
    command(f"cmf lineage {short(selected)} --up --depth 1 -o slice.svg", "A picture for a page:")


def serve_again(store: str, url: str, old_raw: str) -> None:
    """How to ask the whole graph."""
    say("\nThe server is stopped, its graph is kept. To start it again, and to ask it from another terminal:\n")
    command(f"cmf server --store {shlex.quote(store)} --port {url.rpartition(':')[2]}")
    command(f"cmf lineage {short(old_raw)} --down --server {url}")
    screen.print()


# --- Sites ------------------------------------------------------------------------------------------------------------


class Site:
    """A clone of the pipeline's code, in which a user types commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def python(self, *arguments: str) -> None:
        """Run a stage, shown as it is typed."""
        self.shows(shlex.join(["python", *arguments]))
        run([sys.executable, *arguments], self.folder)

    def cmf(self, *arguments: str) -> None:
        """Run `cmf`, shown as it is typed."""
        self.shows(shlex.join(["cmf", *arguments]))
        run([*CMF, *arguments], self.folder)

    def git(self, *arguments: str) -> None:
        """Run git, shown as it is typed."""
        self.shows(shlex.join(["git", *arguments]))
        git(self.folder, *arguments)

    def key(self, path: str) -> str:
        """The key of a file's content."""
        key: str = json.loads(read([*CMF, "show", path, "--json"], self.folder))["node"]["key"]
        return key

    def models_from(self, asked: str) -> list[str]:
        """The models that the server knows to have come from something."""
        found = json.loads(read([*CMF, "lineage", asked, "--down", "--remote", "--json"], self.folder))
        return sorted(node["name"] for node in found["nodes"] if "Model" in node.get("types", ()))

    def shows(self, typed: str) -> None:
        """Show what is typed here."""
        screen.print(Text.assemble((f"\n{self.folder.name} ", "bold cyan"), ("$ ", "dim"), (typed, "bold")))


CMF = (sys.executable, "-m", "cmf.cli")


def clones(folder: Path) -> list[Site]:
    """Three clones of one git repository that holds the pipeline's code."""
    code, origin = folder / "code", folder / "origin.git"
    code.mkdir()
    for name in STAGES:
        shutil.copy(HERE / name, code)
    git(code, "init", "--quiet", "--initial-branch=main")
    read([*CMF, "init", "--artifacts", str(folder / "bytes")], code)  # DVC, with a folder for everybody's bytes
    git(code, "add", ".")
    git(code, "commit", "--quiet", "--message=The digits pipeline")
    git(folder, "clone", "--quiet", "--bare", str(code), str(origin))
    shutil.rmtree(code)
    sites = [Site(folder / name) for name in ("site-a", "site-b", "site-c")]
    for site in sites:
        git(folder, "clone", "--quiet", str(origin), str(site.folder))
    return sites


def copy(source: Site, target: Site, *paths: str) -> None:
    """Bring files from a site to another, as you would by DVC, a shared disk or scp.

    cmf is not told of it. Both sites name a file by the hash of its content, which is what joins their graphs.
    """
    target.shows(shlex.join(["scp", *(f"{source.folder.name}:{path}" for path in paths), "data/"]))
    for path in paths:
        Path(target.folder, path).parent.mkdir(exist_ok=True)
        shutil.copy(source.folder / path, target.folder / path)


def git(folder: Path, *arguments: str) -> None:
    """Run git, as somebody whose name needs no settings."""
    run(["git", *GIT_AS, *arguments], folder)


def empty(folder: Path) -> None:
    """Make the work folder anew; one that somebody else has filled is left alone."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MADE_HERE).exists():
        fail(f"{folder} is not empty, and this demo did not make it; name another --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MADE_HERE).touch()


def best_model(site: Site) -> str:
    """The path of the model that was selected, as its training wrote it."""
    uses = json.loads(read([*CMF, "show", "models/selected.pkl", "--json"], site.folder))["uses"]
    return next(use["path"] for use in uses if use["kind"] == "output" and use["path"] != "models/selected.pkl")


# --- Programs ---------------------------------------------------------------------------------------------------------


@contextmanager
def server(store: str) -> Iterator[str]:
    """A cmf server on a free port, for as long as the block lasts; → its address."""
    step(1, "A server for everybody's lineage", "Sites push to it what they recorded; anyone can ask it.")
    arguments = ["server", "--store", store, "--port", "0"]
    screen.print(Text.assemble(("\nserver ", "bold cyan"), ("$ ", "dim"), (shlex.join(["cmf", *arguments]), "bold")))
    with process([*CMF, *arguments]) as first_line:
        say(first_line)
        found = re.search(r"http://[^\s,;]+", first_line)
        yield found[0] if found else fail(f"the server did not say where it is, but: {first_line}")


@contextmanager
def neo4j(home: Path) -> Iterator[tuple[str, str]]:
    """A real Neo4j for as long as the block lasts; → its address, and that of Neo4j Browser."""
    screen.print(Text("Starting Neo4j …", style="dim"))
    with process([sys.executable, str(LAUNCHER), "--home", str(home), "--with-parent", "--json"]) as first_line:
        where = json.loads(first_line)
        yield where["bolt"], where["browser"]


def show_browser(address: str, home: Path, *, wait: bool) -> None:
    """Say where to look at the graph, and stay while somebody does."""
    say("The graph itself, in Neo4j Browser, and a query to paste there:\n")
    command(address)
    command("MATCH path = ()-[:INPUT|OUTPUT]->() RETURN path")
    if wait:
        say("\nNeo4j runs until you press Ctrl-C.")
        with suppress(KeyboardInterrupt):
            signal.pause()
    say("\nNeo4j stops now, its data is kept. To start it again:\n")
    command(f"python {shlex.quote(str(LAUNCHER))} --home {shlex.quote(str(home.resolve()))}")
    screen.print()


@contextmanager
def process(arguments: Sequence[str]) -> Iterator[str]:
    """A program that runs in the background until the block is left, however that is; → its first line."""
    started = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, process_group=0)
    try:
        assert started.stdout is not None
        yield started.stdout.readline().strip() or fail(f"{shlex.join(arguments)}: did not start")
    finally:
        started.terminate()
        started.wait()


def run(arguments: Sequence[str], folder: Path) -> None:
    """Run a program whose output is on the screen. Like all of them it has a process group of its own: Ctrl-C comes
    to us alone, and no program interrupted half-way adds its traceback."""
    screen.file.flush()
    done = subprocess.run(arguments, cwd=folder, env=ENVIRONMENT, check=False, process_group=0)
    if done.returncode != 0:
        fail(f"exit code {done.returncode} of: {shlex.join(arguments)}  (in {folder})")


def read(arguments: Sequence[str], folder: Path) -> str:
    """Run a program; → its output."""
    done = subprocess.run(arguments, cwd=folder, env=ENVIRONMENT, check=False, stdout=subprocess.PIPE, text=True)
    return done.stdout if done.returncode == 0 else fail(f"exit code {done.returncode} of: {shlex.join(arguments)}")


# --- The screen -------------------------------------------------------------------------------------------------------


def step(number: int, what: str, why: str) -> None:
    """Announce a step."""
    title = Text.assemble((f"{number}/{STEPS} ", "dim"), (what, "bold"))
    screen.print()
    screen.print(Rule(title, style="cyan", align="left"))
    screen.print(Text(why, style="dim"))


def say(text: str) -> None:
    """Print a line as it is, however long."""
    screen.print(Text(text), soft_wrap=True)


def answer(text: str) -> None:
    """Print what a question came to."""
    screen.print(Text.assemble(("→ ", "bold green"), (text, "bold")), soft_wrap=True)


def command(typed: str, why: str = "") -> None:
    """Print a command to paste. What it is for stands above it: not every shell takes a comment behind it."""
    if why:
        screen.print(Text(f"  {why}", style="dim"))
    screen.print(Text(f"    {typed}", style="bold"), soft_wrap=True)


def fail(message: str) -> NoReturn:
    """End the demo; what was started is stopped on the way out."""
    sys.exit(f"demo.py: {message}")


def short(key: str) -> str:
    """A key as people write it."""
    return key.rpartition(":")[2][:8]


def relative(path: Path) -> str:
    """A path as it is written from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Run the digits example: three sites, one pipeline, one graph.")
    add = parser.add_argument
    add("--store", default="sqlite", help="sqlite (default), neo4j, or the URL of a store")
    add("--folder", type=Path, default=REPOSITORY / "demo", help="where to work; it is emptied first (default: demo/)")
    add("--wait", action=argparse.BooleanOptionalAction, default=sys.stdout.isatty(), help="let Neo4j run at the end")
    options = parser.parse_args()
    options.folder = options.folder.absolute()
    return options


if __name__ == "__main__":
    sys.exit(main())
