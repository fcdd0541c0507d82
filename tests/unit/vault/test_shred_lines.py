"""The shred ledger to the byte: its lines and their seals, and what is said when one is wrong."""

import datetime as dt
import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from cdp.errors import KithError
from cdp.vault import shred_file, shreds
from cdp.vault.errors import OtherWorkspace, ShredLedgerAltered, ShredLedgerUnwritable
from cdp.vault.keyring import KeyRing
from cdp.vault.ring_document import RingDocument, Versions
from cdp.vault.secret import Secret
from cdp.vault.shred_file import ShredFile
from cdp.vault.shreds import EMPTY, Entry, Head, Kind, Line, Sealer
from tests.unit.vault.sealed_rings import derived, framed

WORKSPACE = UUID(int=5)
NOON = dt.datetime(2026, 5, 4, 12, 0, 0, 7, tzinfo=dt.UTC)
RECORDS, OLD, NEW = (bytes([n]) * 32 for n in (1, 2, 3))
RESTORE = "put your own copy of the ledger file back, then run: cdp vault replay"
ENTRY = Entry(Kind.SHRED, bytes(range(16)), NOON, "officer", "asked for, 王芳\n")


def ring(*versions: int) -> KeyRing:
    """A ring with these versions of the ledger's key; none: one from before it had it."""
    keys = {"records": Versions(1, {1: Secret(RECORDS)})}
    if versions:
        held = {version: Secret({1: OLD, 2: NEW}[version]) for version in versions}
        keys["shreds"] = Versions(max(versions), held)
    return KeyRing.of(RingDocument(WORKSPACE, Versions(1, {1: Secret(bytes(32))}), keys))


def seal_of(line: Line, key: bytes, before: bytes) -> bytes:
    """HMAC of a line, made from the description alone."""
    import hmac  # noqa: PLC0415 - the standard library's, against ours

    entry = line.entry
    content = framed(
        b"kith/shred/1",
        WORKSPACE.bytes,
        line.sequence.to_bytes(8, "big"),
        entry.kind.value.encode(),
        entry.key,
        entry.at.astimezone(dt.UTC).isoformat(timespec="microseconds").encode(),
        entry.actor.encode(),
        entry.reason.encode(),
        line.key_version.to_bytes(8, "big"),
        before,
    )
    return hmac.digest(derived(key, framed(b"kith/shreds/1")), content, "sha256")


def said(kind: type[KithError], do: Callable[[], object]) -> str:
    """The sentence of the error that ``do`` ends in."""
    with pytest.raises(kind) as caught:
        do()
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> ShredFile:
    return ShredFile(tmp_path / "shred-ledger.jsonl", WORKSPACE)


# ── lines ───────────────────────────────────────────────────────────────────


def test_a_line_is_sealed_as_described() -> None:
    """Invariant 2: workspace, number, every part of the entry, key version and the seal before."""
    second = replace(ENTRY, kind=Kind.READMIT, at=NOON + dt.timedelta(hours=1))
    for versions, key, version in (((), RECORDS, 0), ((1,), OLD, 1), ((1, 2), NEW, 2)):
        one, two = Sealer(ring(*versions)).seal([ENTRY, second], None)
        assert (one.sequence, two.sequence) == (1, 2)
        assert one.key_version == two.key_version == version
        assert one.mac == seal_of(one, key, b"")
        assert two.mac == seal_of(two, key, one.mac)


def test_lines_of_every_key_version_follow_one_another() -> None:
    """A ledger goes on over rotations, and is checked with the newest ring from any line on."""
    ledger: list[Line] = []
    for versions in ((), (1,), (1, 2)):
        sealer = Sealer(ring(*versions))
        ledger += sealer.seal([ENTRY], ledger[-1] if ledger else None)
    assert [line.key_version for line in ledger] == [0, 1, 2]
    newest = Sealer(ring(1, 2))
    assert newest.workspace == WORKSPACE
    assert list(newest.check(ledger)) == ledger
    assert list(newest.check(ledger[1:], ledger[0])) == ledger[1:]
    with pytest.raises(ShredLedgerAltered, match="line 3"):
        list(newest.check(ledger[2:], ledger[0]))


def test_a_line_has_the_time_of_utc_and_never_an_earlier_one() -> None:
    """Invariant 3: of any zone; with the clock set back, the time of the line before, no later."""
    zone = dt.timezone(dt.timedelta(hours=8))
    sealer = Sealer(ring(1))
    [one] = sealer.seal([replace(ENTRY, at=NOON.astimezone(zone))], None)
    assert (one.entry.at, one.entry.at.tzinfo) == (NOON, dt.UTC)
    earlier = replace(ENTRY, at=NOON - dt.timedelta(days=1))
    later = replace(ENTRY, at=NOON + dt.timedelta(seconds=1))
    rest = sealer.seal([earlier, later, earlier], one)
    assert [line.entry.at for line in rest] == [NOON, later.at, later.at]
    assert [line.sequence for line in rest] == [2, 3, 4]


def test_a_time_that_goes_back_is_found_under_a_good_seal() -> None:
    """Invariant 3: equal times may follow each other; a line of before its neighbour is altered."""
    sealer = Sealer(ring(1))
    one, same = sealer.seal([ENTRY, ENTRY], None)
    assert list(sealer.check([same], one)) == [same]
    unsealed = replace(same, entry=replace(ENTRY, at=NOON - dt.timedelta(microseconds=1)))
    back = replace(unsealed, mac=seal_of(unsealed, OLD, one.mac))
    assert said(ShredLedgerAltered, lambda: list(sealer.check([one, back]))) == (
        f"line 2: shred_ledger_altered; next: {RESTORE}"
    )


def test_what_is_genuine_is_given_before_what_is_not() -> None:
    """Whoever reads up to the altered line has the lines before it, and its number."""
    sealer = Sealer(ring(1))
    made = sealer.seal([ENTRY] * 3, None)
    made[2] = replace(made[2], mac=bytes(32))
    seen: list[Line] = []

    def reads() -> None:
        seen.extend([])
        for line in sealer.check(made):
            seen.append(line)  # noqa: PERF402 - what came before the error is looked at

    assert said(ShredLedgerAltered, reads) == f"line 3: shred_ledger_altered; next: {RESTORE}"
    assert seen == made[:2]


def test_the_file_is_written_as_described(file: ShredFile) -> None:
    """A first line with format, version and workspace; then an object a line, readable by eye."""
    [line] = Sealer(ring(1)).seal([ENTRY], None)
    file.append([line])
    first, second, end = file.path.read_bytes().split(b"\n")
    assert end == b""
    assert first.decode() == (
        f'{{"format":"kith-shred-ledger","version":1,"workspace":"{WORKSPACE}"}}'
    )
    assert second.decode() == (
        '{"sequence":1,"kind":"shred","key":"000102030405060708090a0b0c0d0e0f",'
        '"at":"2026-05-04T12:00:00.000007+00:00","actor":"officer",'
        f'"reason":"asked for, 王芳\\n","key_version":1,"mac":"{line.mac.hex()}"}}'
    )
    assert shreds.decode(second + b"\n") == line
    assert (file.read(), file.head()) == ([line], Head(1, line.mac))


# ── what is said ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"{\n", "shred_ledger_altered"),
        (b"[]\n", "shred_ledger_altered"),
        (b"[" * 100_000, "shred_ledger_altered"),
        (b'{"format":"another","version":1}\n', "not_a_shred_ledger"),
        (b'{"format":"kith-shred-ledger","version":2}\n', "not_a_shred_ledger"),
        (b'{"version":1}\n', "not_a_shred_ledger"),
    ],
    ids=["cut", "list", "deep", "other", "newer", "no-format"],
)
def test_a_file_that_is_no_ledger_says_so(content: bytes, rule: str) -> None:
    """Not JSON, another file, another version: the copy is to be put back and replayed."""
    done = said(ShredLedgerAltered, lambda: shreds.check_first_line(content, WORKSPACE))
    assert done == f"{rule}; next: {RESTORE}"


def test_the_ledger_of_another_workspace_says_so(file: ShredFile) -> None:
    """The workspace that was asked for is named; the other one's lines are not read."""
    file.path.write_bytes(shreds.first_line(UUID(int=6)))
    for do in (file.read, file.head):
        assert said(OtherWorkspace, do) == (
            f"workspace {WORKSPACE}: the shred ledger belongs to another workspace; "
            "next: put the ledger file of this workspace in its place"
        )


@pytest.mark.parametrize("name", ["sequence", "kind", "key", "at", "actor", "reason", "mac"])
def test_a_line_that_lacks_a_part_says_so(name: str) -> None:
    """No part of a line may be missing, of another type, or written in another way."""
    [line] = Sealer(ring(1)).seal([ENTRY], None)
    body = json.loads(shreds.encode(line))
    without = {key: value for key, value in body.items() if key != name}
    for wrong in (without, {**body, name: None}, {**body, name: []}):
        content = json.dumps(wrong).encode() + b"\n"
        done = said(ShredLedgerAltered, lambda content=content: shreds.decode(content))
        assert done.endswith(f"shred_ledger_altered; next: {RESTORE}")
        assert "王芳" not in done
    spaced = json.dumps(body, ensure_ascii=False).encode() + b"\n"
    assert said(ShredLedgerAltered, lambda: shreds.decode(spaced)) == (
        f"line 1: shred_ledger_altered; next: {RESTORE}"
    )


def test_what_is_not_a_plain_file_says_so(file: ShredFile) -> None:
    """A folder, a pipe or a link in the ledger's place: the path and what was found."""
    step = "next: put the plain file back, owned by you"
    where = f"path {file.path}: shred_ledger_unreadable"
    file.path.symlink_to(file.path.parent)
    link = os.strerror(errno.ELOOP)
    assert said(ShredLedgerAltered, file.read) == f"{where} ({link}); {step}"
    file.path.unlink()
    os.mkfifo(file.path, 0o600)
    for do in (file.read, lambda: file.append([])):
        assert said(ShredLedgerAltered, do) == f"{where} (it is not a plain file); {step}"
    file.path.unlink()
    file.path.mkdir()
    assert said(ShredLedgerAltered, file.read) == f"{where} (it is not a plain file); {step}"


def test_a_ledger_that_cannot_be_read_or_written_says_why(
    file: ShredFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's reason, or where it gives none the kind of its error."""
    [line] = Sealer(ring(1)).seal([ENTRY], None)
    step = "next: make room, or make its folder writable, then run the same command again"
    lost = ShredFile(file.path.parent / "none" / "ledger", WORKSPACE)
    assert said(ShredLedgerUnwritable, lambda: lost.append([line])) == (
        f"path {lost.path}: shred_ledger_unwritable (No such file or directory); {step}"
    )
    assert (lost.read(), lost.head()) == ([], EMPTY)

    def wordless(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", wordless)
    assert said(ShredLedgerUnwritable, lambda: file.append([line])) == (
        f"path {file.path}: shred_ledger_unwritable (PermissionError); {step}"
    )
    assert said(ShredLedgerAltered, file.read) == (
        f"path {file.path}: shred_ledger_unreadable (unreadable); "
        "next: put the plain file back, owned by you"
    )


# ── the end of the file ─────────────────────────────────────────────────────


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_file_that_is_read_from_its_end_has_its_first_line_unread(
    file: ShredFile, more: int
) -> None:
    """Up to 64 KiB the first line is checked by `head` too; beyond, `read` is who checks it."""
    [line] = Sealer(ring(1)).seal([ENTRY], None)
    last = shreds.encode(line)
    first = b'{"format":"another"}'.ljust(64 * 1024 + more - len(last) - 1) + b"\n"
    file.path.write_bytes(first + last)
    assert file.path.stat().st_size == 64 * 1024 + more
    if more > 0:
        assert file.head() == Head(1, line.mac)
    else:
        assert said(ShredLedgerAltered, file.head).startswith("not_a_shred_ledger")
    assert said(ShredLedgerAltered, file.read).startswith("not_a_shred_ledger")


@pytest.mark.parametrize("tail", [1, 7, 300, 64 * 1024])
def test_half_a_line_is_cut_off_wherever_it_begins(
    file: ShredFile, tail: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File 2: the end of the last whole line is found however far back it is."""
    sealer = Sealer(ring(1))
    made = sealer.seal([ENTRY] * 3, None)
    file.append(made[:2])
    whole = file.path.read_bytes()
    file.path.write_bytes(whole + b"x" * 1000)
    monkeypatch.setattr(shred_file, "_TAIL", tail)
    file.append(made[2:])
    assert file.path.read_bytes() == whole + shreds.encode(made[2])
    file.path.write_bytes(b"x" * 1000)
    file.append(made)
    assert file.read() == made


def test_a_disk_that_takes_a_few_bytes_at_a_time_loses_none(
    file: ShredFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File 1: whatever a single write takes, every byte is in its place."""
    made, real = Sealer(ring(1)).seal([ENTRY] * 3, None), os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda handle, rest, at: real(handle, rest[:7], at))
    file.append(made[:1])
    file.append(made[1:])
    assert file.read() == made


def test_a_ledger_is_at_no_moment_open_to_others(
    file: ShredFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File 4: a new ledger is made private, whatever the umask, not made so afterwards."""
    changed: list[int] = []
    monkeypatch.setattr(os, "fchmod", lambda _, mode: changed.append(mode))
    before = os.umask(0)
    try:
        file.append([])
    finally:
        os.umask(before)
    assert (changed, file.path.stat().st_mode & 0o7777) == ([], 0o600)
