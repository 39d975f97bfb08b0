"""What the arguments and results of a step can say of themselves: files with a type, and metrics."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

from cmf.core.errors import InvalidValue
from cmf.core.model import ArtifactType
from cmf.core.values import check_name


class File(os.PathLike[str]):
    """A file or folder with a type, and with properties of its content; can be used wherever a path can.

    A class of your own below one of these is a type of your own, named as the class.

    >>> class Embeddings(Dataset): ...
    >>> Embeddings("e.npy", dimensions=64)
    Embeddings('e.npy', dimensions=64)
    """

    artifact_type: ClassVar[str] = ArtifactType.DATASET
    """The type of artifact that the class stands for."""

    path: Path
    """Where it is."""
    version: str | None
    """`<algorithm>:<digest>` of content that is elsewhere and is not read here; then `path` may be any address."""
    properties: Mapping[str, object]
    """What is recorded of its content."""

    def __init_subclass__(cls) -> None:
        cls.artifact_type = cls.__name__

    def __init__(self, path: str | os.PathLike[str], *, version: str | None = None, **properties: object) -> None:
        if "type" in properties:
            raise InvalidValue("the type of a file is its class; make one of your own: class Label(cmf.Dataset): ...")
        self._address = os.fspath(path)
        if not isinstance(self._address, str):
            raise InvalidValue(f"the path {self._address!r} is not text; use os.fsdecode")
        self.path = Path(self._address)
        self.version = version
        self.properties = {check_name(name, "the property's name"): value for name, value in properties.items()}

    def __fspath__(self) -> str:
        return self._address

    def __str__(self) -> str:
        return self._address

    def __repr__(self) -> str:
        version = {"version": self.version} if self.version else {}
        told = [f"{name}={value!r}" for name, value in {**version, **self.properties}.items()]
        return f"{type(self).__name__}({', '.join([repr(self._address), *told])})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, File):
            return NotImplemented
        return type(self) is type(other) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash((type(self), self._address, self.version))

    def _content(self) -> tuple[object, ...]:
        return self._address, self.version, self.properties


class Dataset(File):
    """A dataset: `cmf.Dataset("train.csv", rows=1000)`."""


class Model(File):
    """A model: `cmf.Model("model.pkl", framework="sklearn")`."""


class Metrics(dict[str, object]):
    """Metrics that a step returns: `cmf.Metrics(accuracy=0.97)`, or `cmf.Metrics("validation", accuracy=0.95)`."""

    name: str
    """What the record of them is called."""

    def __init__(self, name: str = ArtifactType.METRICS.lower(), /, **values: object) -> None:
        super().__init__(values)
        self.name = check_name(name, "the name of the metrics")

    def __repr__(self) -> str:
        told = [f"{name}={value!r}" for name, value in self.items()]
        return f"{type(self).__name__}({', '.join([repr(self.name), *told])})"

    def copy(self) -> Self:
        """The same metrics again."""
        return type(self)(self.name, **self)
