"""The driver's errors, translated where they are met: `with neo4j_faults(where): …`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from neo4j.exceptions import DriverError, Neo4jError

from cmf.core.errors import CmfError, SettingsProblem, StoreIncompatible, StoreUnavailable

Fault = tuple[type[CmfError], str]
"""What an error becomes, and what to say: what went wrong, then what to do next."""

_DOWN: Fault = (StoreUnavailable, "nothing answers, or the connection broke; see that Neo4j runs, then repeat the call")
_BUSY: Fault = (StoreUnavailable, "Neo4j could not do it now; repeat the call")
_FORBIDDEN: Fault = (StoreUnavailable, "Neo4j refuses this user; check the user and password in the store's URL")
_MISUSED: Fault = (StoreUnavailable, "the connection was closed or is in use; repeat the call")
_SETTINGS: Fault = (SettingsProblem, "the driver does not accept these settings; check the store's URL")
_FOREIGN: Fault = (StoreIncompatible, "this server does not understand cmf; cmf needs Neo4j 5.26")
_UNKNOWN_OUTCOME: Fault = (
    StoreUnavailable,
    "the connection broke while committing, so it may or may not be done; repeat the call, which does no harm",
)

FAULTS: dict[str, Fault] = {
    "IncompleteCommit": _UNKNOWN_OUTCOME,
    "ServiceUnavailable": _DOWN,
    "RoutingServiceUnavailable": _DOWN,
    "ReadServiceUnavailable": _DOWN,
    "WriteServiceUnavailable": _DOWN,
    "SessionExpired": _DOWN,
    "ConnectionPoolError": _BUSY,
    "ConnectionAcquisitionTimeoutError": _BUSY,
    "TransientError": _BUSY,
    "DatabaseUnavailable": _BUSY,
    "NotALeader": _BUSY,
    "ForbiddenOnReadOnlyDatabase": _BUSY,
    "DatabaseError": (StoreUnavailable, "Neo4j failed; see its log (a full disk?), then repeat the call"),
    "AuthError": _FORBIDDEN,
    "TokenExpired": _FORBIDDEN,
    "Forbidden": _FORBIDDEN,
    "ConstraintError": (StoreUnavailable, "another program wrote to this graph at the same time; repeat the call"),
    "CypherSyntaxError": _FOREIGN,
    "CypherTypeError": _FOREIGN,
    "BrokenRecordError": _FOREIGN,
    "UnsupportedServerProduct": _FOREIGN,
    "ConfigurationError": _SETTINGS,
    "AuthConfigurationError": _SETTINGS,
    "CertificateConfigurationError": _SETTINGS,
    "SessionError": _MISUSED,
    "TransactionError": _MISUSED,
    "TransactionNestingError": _MISUSED,
    "ResultError": _MISUSED,
    "ResultFailedError": _MISUSED,
    "ResultConsumedError": _MISUSED,
    "ResultNotSingleError": _MISUSED,
    # The roots come last in a lookup along the class's ancestors.
    "ClientError": (StoreUnavailable, "Neo4j refused it; repeat the call, or see Neo4j's log"),
    "Neo4jError": _BUSY,
    "DriverError": _MISUSED,
}
"""By the name of the class, since 5.28 and 6.x do not have the same ones; one that is not listed is what the nearest
of its ancestors is."""

CODES: dict[str, Fault] = {
    "Neo.ClientError.Database.DatabaseNotFound": (
        StoreUnavailable,
        "there is no such database; create it, or name another behind the host of the store's URL",
    ),
    "Neo.TransientError.General.MemoryPoolOutOfMemoryError": (
        StoreUnavailable,
        "too much for Neo4j's memory at once; write fewer records at a time, or give Neo4j a larger heap",
    ),
    "Neo.ClientError.Security.AuthenticationRateLimit": (
        StoreUnavailable,
        "too many wrong passwords; wait, and check the password in the store's URL",
    ),
}
"""By Neo4j's status code, where the class is too coarse. Codes of `Neo.ClientError.Transaction` mean busy."""


@contextmanager
def neo4j_faults(where: str) -> Iterator[None]:
    """Whatever the driver raises inside becomes one of ours; `where` is an address without credentials."""
    try:
        yield
    except (Neo4jError, DriverError) as exc:
        kind, what = fault_of(exc)
        raise kind(f"the Neo4j store at {where}: {what} ({_detail(exc)})") from exc
    except OSError as exc:
        raise StoreUnavailable(f"the Neo4j store at {where}: {_DOWN[1]} ({exc})") from exc


def fault_of(exc: Exception) -> Fault:
    """What an error of the driver becomes."""
    code = getattr(exc, "code", None) or ""
    if code in CODES:
        return CODES[code]
    if code.startswith("Neo.ClientError.Transaction."):
        return _BUSY
    return next(FAULTS[of.__name__] for of in type(exc).__mro__ if of.__name__ in FAULTS)


def _detail(exc: Exception) -> str:
    if not isinstance(exc, Neo4jError):
        return _one_line(exc) or type(exc).__name__
    return f"{exc.code}: {_one_line(exc.message)}" if exc.code else _one_line(exc)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:300]
