"""Fine-grained metrics as cmflib has them: rows of several values, that become one Parquet file."""

from __future__ import annotations

from numbers import Real
from typing import Any

from cmf.compat.files import own_file, write_parquet
from cmf.compat.objects import Artifact
from cmf.compat.session import Properties, Session
from cmf.core.errors import InvalidValue
from cmf.core.model import ArtifactType
from cmf.core.values import check_name, from_json, to_json
from cmf.recorder import Recorder

INDEX = "SequenceNumber"


class StepMetrics:
    """The rows of one execution, by the metric's name and the row's number, from 1 on."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, dict[str, Any]]] = {}

    def clear(self) -> None:
        """Forget them: another execution begins."""
        self.rows.clear()

    def add(self, recorder: Recorder, name: str, values: Properties) -> None:
        """Add a row; its numbers are points of the series `<name>.<value's name>`, so that no crash loses them.

        Raises:
            InvalidValue: a value that cannot be recorded.
        """
        check_name(name, "the name of the metrics")
        row = {str(key): from_json(to_json(value, f"metric {key!r}")) for key, value in values.items()}
        number = len(self.rows.get(name, ())) + 1  # as cmflib counts
        for key, value in row.items():
            if isinstance(value, Real) and not isinstance(value, bool):
                recorder.point(f"{name}.{key}", value, number)
        self.rows.setdefault(name, {})[number] = row

    def commit(self, session: Session, name: str) -> Artifact:
        """Write the rows so far to a file, and record it. They are kept: a later commit has them and what came since.

        Raises:
            InvalidValue: there are none.
            MissingExtra: pandas or pyarrow is not installed.
        """
        if not (rows := self.rows.get(name)):
            raise InvalidValue(f"nothing was logged as {name!r} in this execution; log_metric({name!r}, …) comes first")
        file = own_file(session, "metrics", name)
        write_parquet(file.path, rows, INDEX)
        recorded = session.running().keep("output", file.path, file.name, (ArtifactType.STEP_METRICS,))
        return session.put("output", file.shown, recorded)
