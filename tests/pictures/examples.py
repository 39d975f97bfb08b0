"""Lineages to draw: one like the digits pipeline, and generated ones."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from cmf.core.model import Artifact, Edge, Execution, Lineage, Truncated, UseKind


def digest(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "surrogatepass")).hexdigest()


def artifact(name: str, *types: str, **fields: Any) -> Artifact:
    return Artifact(key=f"md5:{digest(name)}", name=name, types=types, **fields)


def execution(name: str, salt: str = "", **fields: Any) -> Execution:
    fields = {"stage": name, "pipeline": "digits", "status": "complete", **fields}
    return Execution(key=f"execution:{digest(name + salt)}", name=name, **fields)


def use(source: Artifact | Execution, target: Artifact | Execution, path: str | None = None, **fields: Any) -> Edge:
    kind: UseKind = "input" if isinstance(source, Artifact) else "output"
    path = path or (source.name if kind == "input" else target.name)
    key = f"use:{digest('|'.join([source.key, target.key, path]))}"
    return Edge(key=key, source=source.key, target=target.key, kind=kind, path=path, **fields)


def lineage(
    roots: Sequence[str],
    nodes: Iterable[Artifact | Execution],
    edges: Iterable[Edge],
    *,
    truncated: Truncated | None = None,
    direction: Any = "upstream",
    depth: int | None = None,
) -> Lineage:
    return Lineage(
        roots=tuple(roots),
        direction=direction,
        depth=depth,
        complete=truncated is None,
        truncated=truncated,
        nodes=tuple(nodes),
        edges=tuple(edges),
    )


def digits() -> Lineage:
    """
    raw ─ prepare ─ digits.npz ─ split ┬ train.npz ─ train ×3 ┬ model ─┬ evaluate ×3 ─ metrics ─ select ─ best.pkl
                                       └ test.npz ────────────│────────┘                          │
                                                              └───────────────────────────────────┘
    """
    raw = artifact("optical-digits.csv", "Dataset", size_bytes=1_312_004)
    env = artifact("environment.json", "Environment", size_bytes=4_203)
    whole = artifact("digits.npz", "Dataset", size_bytes=921_560)
    train_set = artifact("train.npz", "Dataset", size_bytes=737_248)
    test_set = artifact("test.npz", "Dataset", size_bytes=184_312)
    best = artifact("model.pkl", "Model", size_bytes=210_554, properties={"framework": "scikit-learn"})
    t = "2025-01-15T09:%02d:%02d.000000Z"
    prepare = execution("prepare", started_at=t % (0, 0), ended_at=t % (0, 3), parameters={"scale": True})
    split = execution(
        "split",
        started_at=t % (0, 4),
        ended_at=t % (0, 5),
        parameters={"test_size": 0.2, "seed": 7, "stratify": "label"},
        command=("python", "split.py", "--seed", "7"),
    )
    select = execution("select", started_at=t % (5, 0), ended_at=t % (5, 1), parameters={"by": "accuracy"})
    nodes: list[Artifact | Execution] = [raw, env, whole, train_set, test_set, best, prepare, split, select]
    edges = [
        use(raw, prepare, "data/optical-digits.csv"),
        use(env, prepare),
        use(prepare, whole, "data/digits.npz"),
        use(whole, split, "data/digits.npz"),
        use(env, split),
        use(split, train_set, "data/train.npz"),
        use(split, test_set, "data/test.npz"),
        use(select, best, "model.pkl"),
    ]
    for number, c in enumerate((0.1, 1.0, 10.0)):
        train = execution(
            "train",
            str(c),
            started_at=t % (1, number),
            ended_at=t % (2 + number, 30),
            parameters={"C": c, "kernel": "rbf", "gamma": "scale", "max_iter": 2000},
        )
        model = artifact(f"svc-{c}.pkl", "Model", size_bytes=200_000 + number * 5_277)
        evaluate = execution("evaluate", str(c), started_at=t % (4, 1), ended_at=t % (4, 2))
        values = {"accuracy": 0.9611111 + number * 0.0083, "f1_macro": 0.9604 + number * 0.0079, "support": 360}
        scores = artifact(f"scores {c}", "Metrics", values=values)
        nodes += [train, model, evaluate, scores]
        edges += [
            use(train_set, train, "data/train.npz"),
            use(env, train),
            use(train, model, f"models/svc-{c}.pkl"),
            use(model, evaluate, "candidate.pkl"),
            use(test_set, evaluate, "data/test.npz"),
            use(evaluate, scores),
            use(scores, select),
            use(model, select, f"models/svc-{c}.pkl"),
        ]
    return lineage([best.key], nodes, edges)


def generated(count: int, seed: int = 1) -> Lineage:
    """Layers of runs over shared content, with a cycle, a failed and a retracted run, and odd names."""
    chance = random.Random(seed)
    artifacts = [artifact(f"part-{number}.parquet", "Dataset", size_bytes=number * 77_777) for number in range(4)]
    nodes: list[Artifact | Execution] = list(artifacts)
    edges: list[Edge] = []
    kinds = ["Dataset", "Dataset", "Model", "Metrics", "Environment", "Label", "Report"]
    number = 0
    while len(nodes) < count:
        number += 1
        status = "failed" if number % 9 == 5 else "complete"
        run = execution(
            chance.choice(["clean", "join", "train", "evaluate", "特徴量の抽出", "feature-extraction-with-long-name"]),
            str(number),
            pipeline=chance.choice(["sales", "fraud detection for the whole of Europe"]),
            status=status,
            error="ValueError: could not convert string to float: 'n/a' in row 17" if status == "failed" else None,
            retracted="wrong input" if number % 11 == 3 else None,
            parameters={"alpha": chance.random(), "epochs": chance.randrange(100), "optimizer": "adam", "lr": 1e-3},
        )
        nodes.append(run)
        for source in chance.sample(artifacts[-14:], k=min(len(artifacts), chance.choice([1, 1, 2, 3]))):
            edges.append(use(source, run))
        for output in range(chance.choice([1, 1, 2, 3])):
            kind = chance.choice(kinds)
            name = chance.choice(["out", "a very long name that goes on and on and does not end", "übung-データ", "m"])
            values = {"loss": chance.random(), "auc": chance.random()} if kind == "Metrics" else None
            made = artifact(f"{name}-{number}-{output}.bin", kind, size_bytes=chance.randrange(10**9), values=values)
            nodes.append(made)
            artifacts.append(made)
            edges.append(use(run, made, "elsewhere/renamed.bin" if chance.random() < 0.1 else None))
    runs = [node for node in nodes if isinstance(node, Execution)]
    edges.append(use(artifacts[-1], runs[1], "reverted.bin"))
    return lineage([nodes[-1].key], nodes, edges)


def fan_out(width: int) -> Lineage:
    source, run = artifact("corpus.tar", "Dataset", size_bytes=10**10), execution("shard", status="running")
    shards = [artifact(f"shard-{number:03}.tar", "Dataset", size_bytes=10**8) for number in range(width)]
    edges = [use(source, run), *(use(run, shard) for shard in shards)]
    truncated = Truncated(reason="limit", limit=width + 2, seen=1204)
    return lineage([source.key], [source, run, *shards], edges, direction="downstream", truncated=truncated)


def chain(length: int) -> Lineage:
    """a0 → e1 → a2 → … of that many nodes, the last one the root."""
    nodes = [artifact(f"a{n}") if n % 2 == 0 else execution(f"e{n}") for n in range(length)]
    edges = [use(one, other) for one, other in pairwise(nodes)]
    return lineage([nodes[-1].key], reversed(nodes), edges)


def cycle() -> Lineage:
    """v1 ─ edit ─ v2 ─ revert ─ v1, and `touch` writes what it reads; one run failed, one artifact is a stub."""
    one, two = artifact("config v1.yaml", "Config", size_bytes=120), artifact("config v2.yaml", "Config", size_bytes=99)
    edit, revert, touch = execution("edit"), execution("revert"), execution("touch", status="failed", error="disk full")
    stub = Artifact(key="md5:" + "0" * 32, name="", stub=True)
    nodes = [one, two, edit, revert, touch, stub]
    edges = [use(one, edit), use(edit, two), use(two, revert), use(revert, one, "config.yaml"), use(two, touch)]
    edges += [use(touch, two), use(stub, edit, "lost.bin")]
    return lineage([two.key], nodes, edges)
