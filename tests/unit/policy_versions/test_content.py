"""A policy as one text: `cdp/policy/content.py`."""

import json
import re
import shutil

import pytest

from cdp.policy import content
from cdp.policy.errors import PolicyUnusable
from policies.enforcer import load_policy
from policies.vocabulary import DATA_FIELDS, Purpose
from tests.unit.policy_versions.texts import CONTACT, edited, files, text


@pytest.fixture
def folder(tmp_path):
    """The shipped files in a folder of their own."""
    made = tmp_path / "policy"
    made.mkdir()
    for name in content.FILES:
        shutil.copy(content.SHIPPED / name, made / name)
    return made


def test_the_text_gives_back_its_files(folder, tmp_path):
    """Content 1: word for word, comments and blanks included, and the same files the same text."""
    found = content.read(folder)
    assert found == content.shipped() == content.read(content.SHIPPED)
    content.write(found, tmp_path / "again")
    for name in content.FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    assert content.read(tmp_path / "again") == found


def test_files_in_other_line_ends_stay_as_they_are(folder, tmp_path):
    """Content 1: what is signed is what was written, byte for byte."""
    path = folder / "policy.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    found = content.read(folder)
    assert found != content.shipped()
    content.write(found, tmp_path / "again")
    assert (tmp_path / "again" / "policy.csv").read_bytes() == path.read_bytes()


def test_what_is_there_is_not_overwritten(folder):
    """Files are written into a new folder, so that nobody's work is lost."""
    with pytest.raises(PolicyUnusable, match="folder_exists"):
        content.write(content.shipped(), folder)


def test_a_text_compiles_to_what_its_files_compile_to():
    """Content 1: the same decisions and the same version as the files themselves."""
    assert content.compiled(content.shipped()) == load_policy()
    assert content.masking(content.shipped()) == load_policy().masking


@pytest.mark.parametrize("name", content.FILES)
def test_a_new_policy_is_whole(folder, name):
    """Content 2: a file that is missing, empty or not UTF-8 is refused, and named."""
    path = folder / name
    kept = path.read_bytes()
    for wrong in (None, b"", b"\xff\xfe"):
        path.unlink(missing_ok=True)
        if wrong is not None:
            path.write_bytes(wrong)
        with pytest.raises(PolicyUnusable, match=re.escape(name)):
            content.read(folder)
    path.write_bytes(kept)
    assert content.read(folder)


@pytest.mark.parametrize(("name", "line"), [("masking.yaml", "  phone: phone"),
                                            ("purposes.yaml", "    sensitive: false")])  # fmt: skip
def test_a_new_policy_is_in_todays_words(folder, name, line):
    """Content 2: what an older one is forgiven, a new one is not."""
    path = folder / name
    path.write_text(path.read_text().replace(line, "", 1))
    with pytest.raises(PolicyUnusable):
        content.read(folder)


def test_a_field_that_an_older_masking_does_not_know_is_hidden():
    """Content 3: it stays readable, decides as it did, and shows nothing of the new field."""
    lines = [one for one in files()["masking.yaml"].splitlines() if "phone:" not in one]
    older = text(masking_yaml="\n".join(lines))
    assert "phone" not in "".join(lines)
    compiled = content.compiled(older)
    assert compiled.masking["phone"] == content.masking(older)["phone"] == "whole"
    rest = {field: mask for field, mask in compiled.masking.items() if field != "phone"}
    shipped = dict(load_policy().masking)
    del shipped["phone"]
    assert rest == shipped
    assert set(compiled.masking) == {field.value for field in DATA_FIELDS}
    assert compiled.table == load_policy().table


def test_a_purpose_that_an_older_policy_does_not_declare_needs_consent():
    """Content 3: and keeps the sensitive tier out."""
    purposes = files()["purposes.yaml"]
    older = text(purposes_yaml=purposes[: purposes.index("  legal:")])
    found = content.source(older).purposes[Purpose.LEGAL]
    assert (found.consent, found.sensitive) == (True, False)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("", "policy_unreadable"),
        ("[]", "policy_unreadable"),
        ("null", "policy_unreadable"),
        ("{" * 100_000, "policy_unreadable"),
        ('{"format": 1}', "policy_unreadable"),
        ('{"format": 1, "files": {}, "more": 1}', "policy_unreadable"),
        ('{"format": 2, "files": {}}', "policy_format_unknown"),
        ('{"format": 1, "files": {}}', "policy_incomplete"),
        ('{"format": 1, "files": []}', "policy_incomplete"),
        (text(policy_csv=""), "policy_file_empty"),
        (text(policy_csv="   \n"), "policy_file_empty"),
        (text(policy_csv="p\0"), "policy_file_empty"),
        (text(policy_csv="# nothing but a remark"), "there is no p line"),
        (text(policy_csv="x" * content.LIMIT), "policy_too_large"),
        (edited(CONTACT, f"{CONTACT}\n{CONTACT}"), "it repeats line"),
        (edited(CONTACT, f"{CONTACT}\n{CONTACT.replace('allow', 'deny')}"), "it contradicts line"),
        (edited("phone: phone", "phone: nothing", "masking.yaml"), "unknown mask"),
        (edited("phone: phone", "shoe: phone", "masking.yaml"), "unknown"),
        (edited("&& ", "|| ", "model.conf"), "model.conf"),
    ],
)
def test_what_is_no_policy_is_refused(wrong, said):
    """Content 4: empty, unparsable, contradictory or too large: it does not compile."""
    with pytest.raises(PolicyUnusable, match=said):
        content.compiled(wrong)


def test_masks_alone_are_refused_as_strictly():
    """Content 4: reading only the masks of a text is no way around the rest of its checks."""
    with pytest.raises(PolicyUnusable, match="unknown mask"):
        content.masking(edited("phone: phone", "phone: nothing", "masking.yaml"))
    with pytest.raises(PolicyUnusable, match="policy_incomplete"):
        content.masking('{"format": 1, "files": {}}')


def test_the_canonical_form_is_one():
    """Content 1: sorted keys and no blanks: the text of the same files has one digest."""
    body = json.loads(content.shipped())
    assert content._CANONICAL.encode(dict(reversed(body.items()))) == content.shipped()
    assert len(content.shipped()) < content.LIMIT / 5
