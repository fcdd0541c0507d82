"""Connectors of others: classes of installed packages, found by the name that they announce.

A package announces one in its own ``pyproject.toml``, and ``cdp.yaml`` names it::

    [project.entry-points."kith.connectors"]
    crm = "shop_crm:CrmFeed"

    connector: installed
    installed: {name: crm, options: {list: members}}

Invariants, each named by a test in ``tests/unit/connectors/test_installed.py``:

1. A declaration reaches no code but a class that an installed package announces.
2. A package cannot take the name of a connector that ships, nor that of another package.
3. Nothing of a package is imported before a source that names it is opened.
4. What cannot be imported or is no connector is a Stop that shows nothing of the error.
"""

import importlib
import re
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final, cast

from connectors.base import Feed, Source
from connectors.credentials import Credentials
from connectors.declaration import SourceDeclaration
from connectors.errors import Stop

GROUP: Final = "kith.connectors"
INSTALLED: Final = "installed"
_CLASS: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)
_FEED: Final = ("check", "count", "read")
_SOURCE: Final = (*_FEED, "fingerprint")


def announced() -> dict[str, list[EntryPoint]]:
    """The connectors that installed packages announce, by name. Imports nothing of them."""
    found: dict[str, list[EntryPoint]] = {}
    for one in entry_points(group=GROUP):
        found.setdefault(one.name, []).append(one)
    return found


def open_installed(
    declaration: SourceDeclaration, folder: Path, credentials: Credentials
) -> Source | Feed:
    """The source of a declaration whose connector an installed package announces.

    Raises:
        Stop: no package announces it, or two do, or what it announces is no connector.
    """
    name = declaration.installed.name if declaration.installed else ""
    there = announced()
    found = there.get(name, [])
    if not found:
        known = ", ".join(sorted(there)) or "none"
        step = f"Install the package that announces it (kith.connectors). Announced here: {known}."
        raise _stop(declaration, "connector_not_installed", step)
    if len({one.value for one in found}) > 1:
        step = "Two packages announce it: uninstall one of them."
        raise _stop(declaration, "connector_twice", step)
    return _made(loaded(found[0].value, declaration.name), declaration, folder, credentials)


def loaded(text: str, source: str) -> type:
    """The class that ``MODULE:CLASS`` names.

    Args:
        text: as an entry point or a person on the command line writes it.
        source: what an error is about.

    Raises:
        Stop: it is not written so, cannot be imported, or is no class.
    """
    if not _CLASS.fullmatch(text):
        raise Stop(source, "connector_form", "Write MODULE:CLASS.", field="connector")
    module, _, name = text.partition(":")
    problem = ""
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # noqa: BLE001 - whatever somebody else's code raises is told
        found, problem = None, f"{type(error).__name__} when {module} is imported"
    if problem:
        step = f"Install it where Kith runs, and see that it can be imported: {problem}."
        raise Stop(source, "connector_not_importable", step, field="connector")
    if not isinstance(found, type):
        step = f"Name a class of {module}."
        raise Stop(source, "connector_no_class", step, field="connector")
    return found


def making_of(found: type) -> Callable[[SourceDeclaration, Path, Credentials], Source | Feed]:
    """What makes a connector of this class.

    Raises:
        Stop: when called, and it is none.
    """
    return lambda declaration, folder, credentials: _made(found, declaration, folder, credentials)


def _made(
    found: type, declaration: SourceDeclaration, folder: Path, credentials: Credentials
) -> Source | Feed:
    """One of a class: a source where it has a fingerprint, else a feed."""
    is_source = hasattr(found, "fingerprint")
    missing = [one for one in (_SOURCE if is_source else _FEED) if not hasattr(found, one)]
    if missing:
        step = f"It lacks {', '.join(missing)}: see connectors/base.py, Source and Feed."
        raise _stop(declaration, "connector_unfit", step)
    make = cast("Callable[..., Any]", found)
    given = (declaration, folder, credentials) if is_source else (declaration, credentials)
    one = make(*given)
    if not isinstance(one, Source | Feed):
        step = "Give it a name: that of the declaration."
        raise _stop(declaration, "connector_unfit", step)
    return one


def _stop(declaration: SourceDeclaration, rule: str, next_step: str) -> Stop:
    return Stop(declaration.name, rule, next_step, field="connector")
