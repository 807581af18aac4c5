"""The URL of a tracking server or database: its credentials stay out of sight, and it must answer.

MLflow prints the URL that it is given, and waits for minutes for a server that is not there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from src.errors import TrackingError, hide, redacted

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

VARIABLE = "MLFLOW_TRACKING_URI"
USER, PASSWORD, TOKEN = (f"MLFLOW_TRACKING_{name}" for name in ("USERNAME", "PASSWORD", "TOKEN"))
ANSWER = 5  # seconds that a server may take to say that it is there
ESCAPE = "write `@`, `:` and `/` in a user name or password as %40, %3A and %2F"


def without_credentials(uri: str) -> str:
    """`uri`; of a server's, user and password go to MLflow's own variables for them.

    A database's stay in it, since drivers print none. Raises TrackingError if it is no URL.
    """
    hide(os.environ.get(PASSWORD))
    hide(os.environ.get(TOKEN))
    scheme, _, rest = uri.partition("://")
    if scheme in ("http", "https"):
        return _move_credentials(uri)
    if rest and not scheme.startswith(("sqlite", "file")):
        _hide_in_database(uri)
    return uri


def _move_credentials(uri: str) -> str:
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        raise TrackingError(VARIABLE, "not the URL of a server", ESCAPE) from None
    userinfo, _, host = parts.netloc.rpartition("@")
    if not userinfo:
        return uri
    user, _, password = userinfo.partition(":")
    hide(password or user)
    os.environ[USER], os.environ[PASSWORD] = unquote(user), unquote(password)
    os.environ[VARIABLE] = bare = urlunsplit(parts._replace(netloc=host))
    return bare


def _hide_in_database(uri: str) -> None:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = None if has_unescaped_at(uri) else make_url(uri)
    except (ArgumentError, ValueError):
        url = None
    if url is None:
        raise TrackingError(VARIABLE, "not the URL of a server or database", ESCAPE)
    hide_passwords(url)


def has_unescaped_at(url: str) -> bool:
    """Whether a database's URL has an `@` in its password, of which a driver prints the rest."""
    return url.partition("?")[0].count("@") > 1


def hide_passwords(url: URL) -> None:
    """Keep the passwords of a database's URL out of all that is printed."""
    hide(str(url.password or ""))
    for key, values in url.query.items():
        if "password" in key.lower():
            for value in (values,) if isinstance(values, str) else values:
                hide(value)


def check_answers(uri: str) -> None:
    """Raise TrackingError if no server answers at `uri` in a few seconds; files are not checked."""
    scheme = uri.partition("://")[0]
    if scheme in ("http", "https"):
        _ask_server(uri)
    elif scheme.startswith(("postgresql", "mysql", "mssql")):
        _ask_database(uri)


def _ask_server(uri: str) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request
    from requests import RequestException

    credentials = get_default_host_creds(uri)
    try:
        answer = http_request(
            credentials, "/health", "GET", max_retries=0, timeout=ANSWER, raise_on_status=False
        )
    except (MlflowException, RequestException, OSError):
        raise _silent(uri, "no server answers there") from None
    if answer.status_code in (401, 403):
        raise TrackingError(uri, "the server refuses the login", f"set {USER} and {PASSWORD}")
    if answer.status_code >= 500:
        raise _silent(uri, f"the server answers {answer.status_code} {answer.reason}")


def _ask_database(uri: str) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        create_engine(uri, poolclass=NullPool).connect().close()
    except ImportError as error:
        what = f"its driver is not installed ({error})"
        raise TrackingError(uri, what, "install it, or use postgresql://") from None
    except (SQLAlchemyError, OSError) as error:
        raise _silent(uri, f"no database answers there ({reason(error)})") from None


def reason(error: BaseException) -> str:
    """The first line of what a driver says, without what SQLAlchemy adds and without passwords."""
    return redacted(str(getattr(error, "orig", None) or error).strip().splitlines()[0])


def _silent(uri: str, what: str) -> TrackingError:
    mend = "start it, correct MLFLOW_TRACKING_URI, or train with `tracking.offline: true`"
    return TrackingError(uri, what, mend)
