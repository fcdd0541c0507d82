"""Every model of the product, found by looking, and filled with canaries."""

import collections.abc
import dataclasses
import datetime as dt
import enum
import importlib
import inspect
import pkgutil
import types
import typing
from functools import cache
from typing import Any

from pydantic import BaseModel, SecretStr

from connectors.record import Sensitive
from tests.unit.coordinates import COORDINATES, PLAIN

PACKAGES = ("api", "cdp", "connectors", "identity", "policies")
TEXT = "canary-龘-13957149163"
DAY = dt.date(1987, 11, 23)
CANARIES = ("canary-", "龘", "13957149163", "\\u9f98", "1987-11-23", "1987, 11, 23",
            TEXT.encode().hex(), str(list(TEXT.encode()))[1:-1])  # fmt: skip


def _is_model(one: object, module: str) -> bool:
    if not inspect.isclass(one) or one.__module__ != module:
        return False
    named_tuple = issubclass(one, tuple) and hasattr(one, "_fields")
    return dataclasses.is_dataclass(one) or named_tuple or issubclass(one, BaseModel)


def _every_model() -> list[type]:
    found = []
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        for info in pkgutil.walk_packages(path, f"{package}."):
            if info.name.endswith("__main__") or ".migrations." in info.name:
                continue
            module = importlib.import_module(info.name)
            found += [one for one in vars(module).values() if _is_model(one, info.name)]
    return sorted(dict.fromkeys(found), key=label)


def label(model: type) -> str:
    """Where a model is."""
    return f"{model.__module__}.{model.__qualname__}"


@cache
def fields(model: type) -> dict[str, Any]:
    """The fields of a model and their types."""
    if issubclass(model, BaseModel):
        return {name: info.annotation for name, info in model.model_fields.items()}
    hints = typing.get_type_hints(model)
    names = getattr(model, "_fields", None) or [f.name for f in dataclasses.fields(model)]
    return {name: hints[name] for name in names}


def used_names() -> set[str]:
    """Every way in which ``COORDINATES`` may name a field that can hold a canary."""
    found = set()
    for model in EVERY_MODEL:
        for name, kind in fields(model).items():
            if carries(kind):
                found |= {name, f"{label(model)}.{name}"}
    return found


def unlisted(model: type) -> list[str]:
    """Its own fields that can hold a canary and that ``COORDINATES`` does not name."""
    return [
        name
        for name, kind in fields(model).items()
        if carries(kind) and not COORDINATES & {name, f"{label(model)}.{name}"}
    ]


def filled(model: type, above: tuple[type, ...] = ()) -> Any:
    """An instance whose every field holds a canary, made without the model's own checks."""
    values = {}
    for name, kind in fields(model).items():
        harmless = name in COORDINATES or f"{label(model)}.{name}" in COORDINATES
        values[name] = _value(kind, (*above, model), harmless=harmless)
    if issubclass(model, BaseModel):
        return model.model_construct(**values)
    if issubclass(model, tuple):
        return tuple.__new__(model, tuple(values.values()))
    made = object.__new__(model)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def _arms(kind: Any) -> list[Any]:
    """The members of a union, and what an alias or annotation stands for."""
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        return [arm for one in typing.get_args(kind) for arm in _arms(one)]
    if typing.get_origin(kind) in {typing.Annotated, typing.ClassVar}:
        return _arms(typing.get_args(kind)[0])
    return [kind]


_SIMPLE: dict[Any, Any] = {
    str: TEXT,
    bytes: TEXT.encode(),
    Any: TEXT,
    object: TEXT,
    dt.date: DAY,
    Sensitive: Sensitive(TEXT),
    SecretStr: SecretStr(TEXT),
}
_MANY = {
    list: list, tuple: tuple, set: frozenset, frozenset: frozenset, dict: dict,
    collections.abc.Sequence: tuple, collections.abc.Iterable: tuple,
    collections.abc.Iterator: tuple, collections.abc.Collection: tuple,
    collections.abc.Mapping: dict, collections.abc.Set: frozenset,
    collections.abc.MutableMapping: dict,
}  # fmt: skip


def carries(kind: Any, above: tuple[type, ...] = ()) -> bool:
    """Whether something of this type can hold a canary itself, not within another model."""
    for arm in _arms(kind):
        if arm in _SIMPLE:
            return arm not in {Sensitive, SecretStr}
        if typing.get_origin(arm) in _MANY and any(
            carries(one, above) for one in typing.get_args(arm) if one is not ...
        ):
            return True
        if arm in _MANY:
            return True
    return False


def _value(kind: Any, above: tuple[type, ...], *, harmless: bool) -> Any:
    """A value of a type, with a canary unless the field is harmless; None if none fits."""
    candidates = [_of(arm, above, harmless=harmless) for arm in _arms(kind)]
    return next((one for one in candidates if one is not None), None)


def _of(kind: Any, above: tuple[type, ...], *, harmless: bool) -> Any:
    if kind in _SIMPLE:
        return "x" if harmless and kind not in {Sensitive, SecretStr} else _SIMPLE[kind]
    origin = typing.get_origin(kind) or kind
    if origin in _MANY:
        return _several(kind, _MANY[origin], above, harmless=harmless)
    if inspect.isclass(kind) and kind.__module__.split(".")[0] in PACKAGES:
        if issubclass(kind, enum.Enum):
            return None
        known = kind not in above and label(kind) not in PLAIN
        if known and _is_model(kind, kind.__module__):
            return filled(kind, above)
    return None


def _several(kind: Any, make: Any, above: tuple[type, ...], *, harmless: bool) -> Any:
    parts = [one for one in typing.get_args(kind) if one is not ...] or [str]
    values = [_value(one, above, harmless=harmless) for one in parts]
    if make is dict:
        key, value = (values * 2)[:2] if len(values) < 2 else values
        return {key if isinstance(key, str | bytes | int) else "x": value}
    if make is frozenset:
        return frozenset(one for one in values if isinstance(one, str | bytes | int))
    return make(one for one in values if one is not None)


EVERY_MODEL = _every_model()
