"""``cdp source test-connector``: a connector that somebody wrote, put to the test."""

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from cdp.cli import output, session
from cdp.errors import Stop
from connectors.installed import loaded, making_of
from connectors.testing_run import Verdict, examine
from connectors.testing_stage import Stage

WORDS: Final = {"pass": "pass", "fail": "FAIL", "not_applicable": "not applicable"}


def try_laws(
    connector: Annotated[str, typer.Argument(help="MODULE:CLASS, importable from here.")],
    stage: Annotated[
        str | None,
        typer.Option(help="MODULE:CLASS of its stage; default: the one Stage of the same module."),
    ] = None,
    declaration: Annotated[
        Path | None,
        typer.Option(help="YAML with more of the entry of cdp.yaml; goes before the stage's."),
    ] = None,
    law: Annotated[
        list[str] | None, typer.Option(help="Only this law, as it is named; several are fine.")
    ] = None,
    as_json: session.Json = False,
) -> None:
    """Hold a connector to every law: resume, duplicates, deletions, drift, failures, silence.

    Example: cdp source test-connector shop_crm:CrmFeed --stage shop_crm_stage:CrmStage
    """
    with _from_here():
        making = making_of(loaded(connector, connector))
        staging = _stage(stage, connector)
        verdicts = examine(making, staging, _entry(declaration), _names(law))
    if as_json:
        output.as_json([one.to_dict() for one in verdicts])
    else:
        _show(connector, verdicts)
    if any(one.outcome == "fail" for one in verdicts):
        raise typer.Exit(1)


def _names(written: list[str] | None) -> list[str]:
    return [one.strip().replace(" ", "_") for one in written or ()]


def _show(connector: str, verdicts: list[Verdict]) -> None:
    rows = [
        (one.law.replace("_", " "), WORDS[one.outcome], one.why, one.next_step) for one in verdicts
    ]
    output.table(f"Laws, for {connector}", ("law", "is", "why", "next step"), rows)
    counts = {word: sum(one.outcome == word for one in verdicts) for word in WORDS}
    told = ", ".join(f"{counts[word]} {shown}" for word, shown in WORDS.items())
    output.say(f"{len(verdicts)} laws: {told}.")


def _stage(named: str | None, connector: str) -> type[Stage]:
    if named is not None:
        found = loaded(named, named)
        if issubclass(found, Stage):
            return found
        raise Stop("no_stage", "name a subclass of connectors.testing_stage.Stage")
    module = importlib.import_module(connector.partition(":")[0])
    stages = [
        one
        for _, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, Stage) and one is not Stage
    ]
    if len(stages) != 1:
        raise Stop("no_stage", "write a Stage and name it: --stage MODULE:CLASS")
    return stages[0]


def _entry(path: Path | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    try:
        entry = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        step = f"name a YAML file ({type(error).__name__})"
        raise Stop("declaration_unreadable", step, path=path) from None
    if not isinstance(entry, dict):
        raise Stop("declaration_wrong", "write keys of one entry under sources", path=path)
    return entry


@contextmanager
def _from_here() -> Iterator[None]:
    """Import from the current folder too, where an author works."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(here)
