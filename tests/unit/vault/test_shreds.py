"""The shred ledger: what a line says, that nobody can change one, and how it stands on disk."""

import datetime as dt
import errno
import json
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.vault import shred_file, shreds
from cdp.vault.errors import OtherWorkspace, ShredLedgerAltered, ShredLedgerUnwritable
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import RingDocument
from cdp.vault.shred_file import ShredFile
from cdp.vault.shreds import EMPTY, Entry, Head, Kind, Line, Sealer, standing, to_destroy

NOON = dt.datetime(2026, 5, 4, 12, tzinfo=dt.UTC)
WORKSPACE = UUID("6f1d0d6e-5a2b-4a53-9d25-1d7a1e0b5a11")


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return KeyRing.create(tmp_path_factory.mktemp("ring") / "keyring.json", WORKSPACE)


@pytest.fixture(scope="module")
def sealer(keyring: KeyRing) -> Sealer:
    return Sealer(keyring)


def entry(number: int, kind: Kind = Kind.SHRED, at: dt.datetime = NOON) -> Entry:
    return Entry(kind, bytes([number]) * 16, at, "officer", "asked for, ticket L-7")


def lines(sealer: Sealer, count: int) -> list[Line]:
    return sealer.seal([entry(n) for n in range(count)], None)


entries = st.lists(
    st.builds(
        Entry,
        kind=st.sampled_from(Kind),
        key=st.binary(min_size=16, max_size=16),
        at=st.datetimes(
            min_value=dt.datetime(2020, 1, 1),  # noqa: DTZ001 - the zone is given beside
            max_value=dt.datetime(2040, 1, 1),  # noqa: DTZ001 - as above
            timezones=st.just(dt.UTC),
        ),
        actor=st.sampled_from(("officer", "王芳", "o.2")),
        reason=st.text(max_size=12),
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None)
@given(given_entries=entries)
def test_what_is_written_is_read_again(sealer: Sealer, given_entries: Sequence[Entry]) -> None:
    """Any line, whatever was typed in it, is the same after encoding and decoding."""
    made = sealer.seal(given_entries, None)
    again = [shreds.decode(shreds.encode(one)) for one in made]
    assert again == made
    assert list(sealer.check(again)) == made


@settings(deadline=None)
@given(given_entries=entries, cut=st.integers(min_value=0, max_value=5))
def test_in_portions_it_is_the_same_ledger(
    sealer: Sealer, given_entries: Sequence[Entry], cut: int
) -> None:
    """Invariant 2: where one writer stops and the next goes on leaves no mark."""
    first = sealer.seal(given_entries[:cut], None)
    rest = sealer.seal(given_entries[cut:], first[-1] if first else None)
    assert [*first, *rest] == sealer.seal(given_entries, None)


@settings(deadline=None)
@given(given_entries=entries)
def test_times_never_go_back(sealer: Sealer, given_entries: Sequence[Entry]) -> None:
    """Invariant 3: with the clock set back, a line has the time of the one before it."""
    made = sealer.seal(given_entries, None)
    times = [one.entry.at for one in made]
    assert times == sorted(times)
    assert [one.sequence for one in made] == list(range(1, len(made) + 1))


CHANGES: dict[str, Callable[[Line], Line]] = {
    "key": lambda one: replace(one, entry=replace(one.entry, key=b"x" * 16)),
    "kind": lambda one: replace(one, entry=replace(one.entry, kind=Kind.READMIT)),
    "time": lambda one: replace(one, entry=replace(one.entry, at=NOON + dt.timedelta(seconds=1))),
    "actor": lambda one: replace(one, entry=replace(one.entry, actor="somebody")),
    "reason": lambda one: replace(one, entry=replace(one.entry, reason="another")),
    "key version": lambda one: replace(one, key_version=0 if one.key_version else 1),
    "mac": lambda one: replace(one, mac=bytes([one.mac[0] ^ 1]) + one.mac[1:]),
    "sequence": lambda one: replace(one, sequence=one.sequence + 1),
}
EDITS: dict[str, Callable[[bytes], bytes]] = {
    "actor": lambda text: text.replace(b'"officer"', b'"Officer"'),
    "sequence": lambda text: text.replace(b'"sequence":2', b'"sequence":7'),
    "a space": lambda text: text.replace(b'"kind":"shred"', b'"kind": "shred"'),
    "a word": lambda text: text.replace(b'"kind":"shred"', b'"kind":"forget"'),
    "a line": lambda text: b"\n".join(text.split(b"\n")[:1] + text.split(b"\n")[2:]),
    "some bytes": lambda text: text[: len(text) // 2] + text[len(text) // 2 + 40 :],
}


@pytest.mark.parametrize("part", CHANGES)
def test_a_changed_line_is_found(sealer: Sealer, part: str) -> None:
    """Invariant 2: whichever part is changed, the line is named."""
    made = lines(sealer, 3)
    made[1] = CHANGES[part](made[1])
    with pytest.raises(ShredLedgerAltered):
        list(sealer.check(made))


def test_a_line_that_is_missing_moved_or_doubled_is_found(sealer: Sealer) -> None:
    """Invariant 2: every line hangs on the one before it."""
    one, two, three = lines(sealer, 3)
    for altered in ([one, three], [two, three], [two, one, three], [one, one, two, three]):
        with pytest.raises(ShredLedgerAltered):
            list(sealer.check(altered))
    renumbered = replace(three, sequence=2)
    with pytest.raises(ShredLedgerAltered, match="line 2"):
        list(sealer.check([one, renumbered]))


def test_a_line_of_another_workspace_is_found(sealer: Sealer, tmp_path: Path) -> None:
    """Invariant 2: a ledger sealed elsewhere is not genuine here."""
    other = Sealer(KeyRing.create(tmp_path / "ring.json", uuid4()))
    with pytest.raises(ShredLedgerAltered):
        list(sealer.check(lines(other, 1)))


def test_without_a_key_of_its_own_lines_are_sealed_under_one_derived() -> None:
    """A ring from before the purpose ``shreds`` works, and its lines are still genuine later."""
    document = RingDocument.fresh(WORKSPACE, os.urandom)
    keyring = KeyRing(document)
    old = KeyRing(replace(document, keys={"records": document.keys["records"]}))
    made = lines(Sealer(old), 2)
    assert {one.key_version for one in made} == {0}
    newer = Sealer(keyring).seal([entry(9)], made[-1])
    assert newer[0].key_version == 1
    assert len(list(Sealer(keyring).check([*made, *newer]))) == 3


def test_the_last_line_of_a_record_decides(sealer: Sealer) -> None:
    """Invariant 4: destroyed, let in again, destroyed again."""
    kinds = [(1, Kind.SHRED), (2, Kind.SHRED), (1, Kind.READMIT)]
    made = sealer.seal([entry(number, kind) for number, kind in kinds], None)
    assert standing(made) == {bytes([2]) * 16}
    again = sealer.seal([entry(1)], made[-1])
    assert standing([*made, *again]) == {bytes([1]) * 16, bytes([2]) * 16}


# ── on disk ─────────────────────────────────────────────────────────────────


def test_what_was_let_in_again_is_still_destroyed_where_nobody_saw_it_go(sealer: Sealer) -> None:
    """Ledger 4: a database that lacks the shred has the destroyed revision; a later one has not."""
    again = [entry(1), entry(2), entry(1, Kind.READMIT), entry(3), entry(3, Kind.READMIT)]
    ledger = sealer.seal(again, None)
    one, two, three = (bytes([number]) * 16 for number in (1, 2, 3))
    assert to_destroy(ledger, 0) == {one, two, three}
    assert to_destroy(ledger, 1) == {two, three}
    assert to_destroy(ledger, 3) == {two, three}
    assert to_destroy(ledger, 4) == to_destroy(ledger, 5) == standing(ledger) == {two}


@pytest.fixture
def file(tmp_path: Path) -> ShredFile:
    return ShredFile(tmp_path / "shred-ledger.jsonl", WORKSPACE)


def test_the_file_is_the_owners_alone_and_only_grows(file: ShredFile, sealer: Sealer) -> None:
    """Mode 0600; what stood in it stands in it, byte for byte, after the next append."""
    assert (file.read(), file.head()) == ([], EMPTY)
    made = lines(sealer, 5)
    file.append(made[:2])
    before = file.path.read_bytes()
    file.append(made[2:])
    assert file.path.read_bytes().startswith(before)
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.read() == made
    assert file.head() == Head(5, made[-1].mac)


def test_a_long_ledger_is_read_from_its_end(file: ShredFile, sealer: Sealer) -> None:
    """The head of a ledger of many lines is that of its last line."""
    made = sealer.seal([entry(n % 250) for n in range(600)], None)
    file.append(made)
    assert file.path.stat().st_size > 2 * shred_file._TAIL
    assert file.head() == Head(600, made[-1].mac)


def test_a_last_line_cut_by_a_kill_counts_for_nothing(file: ShredFile, sealer: Sealer) -> None:
    """File 2: at whatever byte it was cut, the lines before it stand, and the next mends it."""
    made = lines(sealer, 3)
    file.append(made)
    whole = file.path.read_bytes()
    start = len(whole) - len(shreds.encode(made[2]))
    for cut in range(start, len(whole)):
        file.path.write_bytes(whole[:cut])
        assert file.read() == made[:2]
        assert file.head() == Head(2, made[1].mac)
        file.append(made[2:])
        assert file.path.read_bytes() == whole


def test_a_first_line_cut_by_a_kill_is_an_empty_ledger(file: ShredFile, sealer: Sealer) -> None:
    """File 2: killed while the file was made, it is made anew."""
    file.path.write_bytes(shreds.first_line(WORKSPACE)[:-9])
    assert (file.read(), file.head()) == ([], EMPTY)
    file.append(lines(sealer, 1))
    assert file.read() == lines(sealer, 1)


@pytest.mark.parametrize("after", [0, 1, 40, 300])
def test_a_full_disk_leaves_the_ledger_as_it_was(
    file: ShredFile, sealer: Sealer, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File 1: room for some bytes only: a typed error, and nothing of the line is kept."""
    made = lines(sealer, 3)
    file.append(made[:1])
    before = file.path.read_bytes()
    room, real = [after], os.pwrite

    def full(handle: int, content: bytes, at: int) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        some = content[: room[0]]
        room[0] -= len(some)
        return real(handle, some, at)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ShredLedgerUnwritable, match="No space left"):
        file.append(made[1:])
    monkeypatch.undo()
    assert file.path.read_bytes() == before
    file.append(made[1:])
    assert file.read() == made


def test_a_disk_that_does_not_keep_it_leaves_the_ledger_as_it_was(
    file: ShredFile, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File 1: written and not kept is not written."""

    def fails(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(ShredLedgerUnwritable):
        file.append(lines(sealer, 1))
    assert file.read() == []


@pytest.mark.parametrize("broken", ["the file", "its folder"])
def test_the_name_of_the_file_is_kept_also_when_the_first_append_failed(
    file: ShredFile, sealer: Sealer, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File 1: until the folder is on the disk too, an append has not succeeded."""
    real, folders = os.fsync, [0]

    def watches(handle: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        if not folders[0] and is_folder is (broken == "its folder"):
            folders[0] = -1  # once
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        folders[0] += is_folder
        real(handle)

    monkeypatch.setattr(os, "fsync", watches)
    with pytest.raises(ShredLedgerUnwritable):
        file.append(lines(sealer, 1))
    assert file.read() == []
    assert file.path.exists()
    folders[0] = 1
    file.append(lines(sealer, 1))
    assert folders[0] == 2
    file.append(sealer.seal([entry(7)], lines(sealer, 1)[0]))
    assert folders[0] == 2  # it is there; nobody has to ask again
    assert len(file.read()) == 2


def test_a_copy_that_was_put_back_is_made_the_owners_alone(file: ShredFile, sealer: Sealer) -> None:
    """File 4: whatever the mode was, after an append it is 0600."""
    made = lines(sealer, 2)
    file.append(made[:1])
    for mode in (0o644, 0o666, 0o640):
        file.path.chmod(mode)
        file.append([])
        assert file.path.stat().st_mode & 0o777 == 0o600
    file.append(made[1:])
    assert file.read() == made


def test_what_is_no_ledger_is_refused(file: ShredFile, tmp_path: Path) -> None:
    """Another program's file, another version, another workspace, a link: each typed."""
    for content in (
        b"hello\n",
        b"[]\n",
        b'{"format":"kith-shred-ledger","version":2}\n',
        b"\xff\n",
    ):
        file.path.write_bytes(content)
        for read in (file.read, file.head):
            with pytest.raises(ShredLedgerAltered):
                read()
    file.path.write_bytes(shreds.first_line(uuid4()))
    with pytest.raises(OtherWorkspace):
        file.read()
    file.path.unlink()
    file.path.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(shreds.first_line(WORKSPACE))
    with pytest.raises(ShredLedgerAltered):
        file.read()


@pytest.mark.parametrize("what", EDITS)
def test_an_edited_file_is_found(file: ShredFile, sealer: Sealer, what: str) -> None:
    """Invariant 2: whoever edits the file by hand is found, whatever was edited."""
    file.append(lines(sealer, 4))
    file.path.write_bytes(EDITS[what](file.path.read_bytes()))
    with pytest.raises(ShredLedgerAltered):
        list(sealer.check(file.read()))


def test_a_line_shows_nothing_of_a_person(sealer: Sealer) -> None:
    """Invariant 1: beside what was typed there is only a keyed hash."""
    text = shreds.encode(lines(sealer, 1)[0]).decode()
    assert set(json.loads(text)) == {
        "sequence", "kind", "key", "at", "actor", "reason", "key_version", "mac"
    }  # fmt: skip
