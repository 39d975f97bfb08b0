"""Imports point one way: cmf.core ← cmf ← cmf_graph ← cmf_api. And `import cmf` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "cmf.core": {"cmf.core"},
    "cmf": {"cmf", "cmf.core"},
    "cmf_graph": {"cmf", "cmf.core", "cmf_graph"},
    "cmf_api": {"cmf", "cmf.core", "cmf_graph", "cmf_api"},
}
PURE = {"os", "pathlib", "socket", "time", "io", "subprocess", "sqlite3", "threading", "httpx", "random"}


def layer(module: str) -> str:
    return "cmf.core" if module.startswith("cmf.core") else module.partition(".")[0]


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return found


def modules() -> list[tuple[str, Path]]:
    roots = [(ROOT, "cmf"), (ROOT / "graph", "cmf_graph"), (ROOT / "api", "cmf_api")]
    return [
        (".".join(file.relative_to(root).with_suffix("").parts), file)
        for root, name in roots
        for file in sorted((root / name).rglob("*.py"))
    ]


def test_no_module_imports_from_a_layer_above_it() -> None:
    found = modules()
    assert len(found) > 40
    for module, file in found:
        for imported in imports(file):
            if imported.partition(".")[0] in ("cmf", "cmf_graph", "cmf_api"):
                assert layer(imported) in MAY_IMPORT[layer(module)], f"{module} imports {imported}"


def test_the_core_does_no_input_or_output() -> None:
    for module, file in modules():
        if layer(module) == "cmf.core":
            # errors.py and values.py name paths (a type, os.PathLike), and open none.
            allowed = {"pathlib", "pathlib.Path", "os"} if module in ("cmf.core.errors", "cmf.core.values") else set()
            assert not {name.partition(".")[0] for name in imports(file) - allowed} & PURE, module


def test_importing_cmf_loads_nothing_heavy() -> None:
    code = "import sys, cmf; print(*sorted(m.partition('.')[0] for m in sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "cmf" in loaded
    assert not loaded & {"neo4j", "fastapi", "dvc", "dvc_data", "httpx", "networkx", "typer", "rich", "git", "sqlite3"}


def test_nothing_named_graph_or_api_or_docker_is_importable() -> None:
    for folder in ("graph", "api", "docker"):
        assert not (ROOT / folder / "__init__.py").exists()


def test_the_public_names_are_sorted_and_there() -> None:
    import cmf

    assert cmf.__all__ == sorted(cmf.__all__)
    assert all(getattr(cmf, name) for name in cmf.__all__)
