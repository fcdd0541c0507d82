"""Databases by the handful: copies of one another, gone after the test."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool


class Databases:
    """Makes databases on one server and drops them all at the end."""

    def __init__(self, server: sa.URL) -> None:
        self._server = server
        self._made = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._made.close()

    def copy(self, template: str | None) -> str:
        """Make a copy of the database ``template`` (None: an empty one); return its address."""
        name = f"kith_test_{secrets.token_hex(6)}"
        like = f" TEMPLATE {template} STRATEGY FILE_COPY" if template else ""
        with _administrator(self._server) as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}{like}"))
        self._made.callback(self._drop, name)
        return self._server.set(database=name).render_as_string(hide_password=False)

    def copy_of(self, url: str) -> str:
        """Make a copy of the database at ``url``; nobody may be connected to it."""
        return self.copy(make_url(url).database)

    def _drop(self, name: str) -> None:
        with _administrator(self._server) as connection:
            connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


@contextmanager
def _administrator(server: sa.URL) -> Iterator[sa.Connection]:
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        yield connection
    engine.dispose()
