"""Databases by the handful: copies of one another, gone after the test."""

import secrets
from contextlib import ExitStack
from functools import cache
from typing import Self

import sqlalchemy as sa
from sqlalchemy.engine import make_url


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
        with administrator(self._server).connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}{like}"))
        self._made.callback(self._drop, name)
        return self._server.set(database=name).render_as_string(hide_password=False)

    def copy_of(self, url: str) -> str:
        """Make a copy of the database at ``url``; nobody may be connected to it."""
        return self.copy(make_url(url).database)

    def _drop(self, name: str) -> None:
        with administrator(self._server).connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


@cache
def administrator(server: sa.URL) -> sa.Engine:
    """What creates and drops databases; it stays connected, for tests do so by the thousand."""
    return sa.create_engine(
        server,
        isolation_level="AUTOCOMMIT",
        pool_size=1,
        max_overflow=-1,
        pool_pre_ping=True,
        use_native_hstore=False,
    )
