"""A policy as one text: its four files, word for word, in one canonical form.

Invariants, each named by a test in ``tests/unit/policy_versions/test_content.py``:

1. The same files give the same text, and the text gives back the same files.
2. What is offered as a new policy is complete in today's words, or it is refused.
3. A stored policy of an earlier release stays readable: a field class that its masking does not
   know is hidden, a purpose that it does not declare needs consent. It never shows more.
4. What is no such text, has another format, is empty or too large, is refused.
"""

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import policies
from cdp.policy.errors import PolicyUnusable
from policies.decision import CompiledPolicy
from policies.declarations import MASKING_FILE, PURPOSES_FILE, read_masking, read_purposes
from policies.enforcer import MODEL_FILE, PolicySource, compile_policy, read_source
from policies.errors import PolicyRefusedError
from policies.policyfile import POLICY_FILE, read_rules

FORMAT: Final = 1
LIMIT: Final = 2**18  # characters of a text; the shipped policy has 20,000
FILES: Final = (MODEL_FILE, POLICY_FILE, PURPOSES_FILE, MASKING_FILE)
SHIPPED: Final = Path(policies.__file__).parent
_RESTORE: Final = "restore the tables of policy versions from a backup"
_CANONICAL: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def read(folder: Path) -> str:
    """Return the text of the policy whose files are in ``folder``.

    Raises:
        PolicyUnusable: a file is missing or is not one of a policy; says where.
    """
    try:
        read_source(folder)
        found = {name: (folder / name).read_bytes().decode() for name in FILES}
    except PolicyRefusedError as error:
        raise PolicyUnusable("policy_refused", str(error), path=folder) from None
    text = _CANONICAL.encode({"format": FORMAT, "files": found})
    files(text)
    return text


@cache
def shipped() -> str:
    """Return the text of the policy that this release ships."""
    return read(SHIPPED)


def files(text: str) -> Mapping[str, str]:
    """Return the files of a text, by name.

    Raises:
        PolicyUnusable: it is not the text of a policy.
    """
    if len(text) > LIMIT:
        raise PolicyUnusable("policy_too_large", f"keep it below {LIMIT:,} characters")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise PolicyUnusable("policy_unreadable", _RESTORE) from None
    if not isinstance(body, dict) or set(body) != {"format", "files"}:
        raise PolicyUnusable("policy_unreadable", _RESTORE)
    if body["format"] != FORMAT:
        raise PolicyUnusable("policy_format_unknown", "use the release that stored it, or newer")
    found = body["files"]
    if not isinstance(found, dict) or sorted(found) != sorted(FILES):
        raise PolicyUnusable("policy_incomplete", _RESTORE)
    for name, content in found.items():
        if not isinstance(content, str) or not content.strip() or "\0" in content:
            raise PolicyUnusable("policy_file_empty", _RESTORE, file=name)
    return MappingProxyType({name: found[name] for name in FILES})


def source(text: str) -> PolicySource:
    """Return a text as policies read it, also one that an earlier release accepted.

    Raises:
        PolicyUnusable: a word or line that this release refuses.
    """
    found = files(text)
    try:
        return PolicySource(
            model=found[MODEL_FILE],
            rules=read_rules(found[POLICY_FILE]),
            purposes=read_purposes(found[PURPOSES_FILE], older=True),
            masking=read_masking(found[MASKING_FILE], older=True),
        )
    except PolicyRefusedError as error:
        raise PolicyUnusable("policy_refused", str(error)) from None


def masking(text: str) -> Mapping[str, str]:
    """Return the mask of every field class, without compiling the rest.

    Raises:
        PolicyUnusable: its masking cannot be used.
    """
    try:
        return read_masking(files(text)[MASKING_FILE], older=True)
    except PolicyRefusedError as error:
        raise PolicyUnusable("policy_refused", str(error)) from None


@lru_cache(maxsize=4)  # compiling takes a third of a second, and going back to a version is common
def compiled(text: str) -> CompiledPolicy:
    """Return a text compiled; its ``version`` is that of what it says in today's words.

    Raises:
        PolicyUnusable: it does not compile.
    """
    try:
        return compile_policy(source(text))
    except PolicyRefusedError as error:
        raise PolicyUnusable("policy_refused", str(error)) from None


def write(text: str, folder: Path) -> None:
    """Write the files of a text into a new folder.

    Raises:
        PolicyUnusable: it is not the text of a policy, or there is such a folder.
    """
    found = files(text)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise PolicyUnusable("folder_exists", "name a new folder", path=folder) from None
    for name, content in found.items():
        (folder / name).write_bytes(content.encode())
