"""Policies that differ from the shipped one in a line or two."""

from cdp.policy import content

GENDER = "p, clerk, read, gender, clear, service, allow"
CONTACT = "p, clerk, read, contact, mask, service, allow"


def files() -> dict[str, str]:
    """The shipped files, to be changed."""
    return dict(content.files(content.shipped()))


def text(**changed: str) -> str:
    """The text of a policy with whole files replaced: ``policy_csv=...``."""
    named = {name.replace("_", "."): value for name, value in changed.items()}
    return content._CANONICAL.encode({"format": content.FORMAT, "files": files() | named})


def edited(old: str, new: str, file: str = "policy.csv") -> str:
    """The text of a policy with one passage replaced."""
    found = files()
    assert old in found[file]
    return text(**{file.replace(".", "_"): found[file].replace(old, new)})
