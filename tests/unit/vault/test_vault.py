"""The vault's promises, over whole records."""

import os

import pytest

from cdp.vault import cells
from cdp.vault.envelope import WrappedKey
from cdp.vault.errors import (
    CellGarbled,
    CellRefused,
    KeyMissing,
    KeyWithheld,
    NotSealable,
    OtherWorkspace,
    WrappedKeyRefused,
)
from cdp.vault.keyring import KeyRing
from cdp.vault.rejects import RejectPlace
from cdp.vault.ring_document import RingDocument
from cdp.vault.vault import Vault
from connectors.record import Sensitive

CONTACT = {"name": "白小满".encode(), "phone": b"+8613800001111"}
SENSITIVE = {"national_id": b"11010119900307000X"}
FEATURES = bytes(range(200))


def said(value):
    return value.reveal(reason="test")


@pytest.fixture
def sealed(vault):
    return vault.seal_record(12, 3, CONTACT, SENSITIVE, FEATURES)


def test_a_record_comes_back_as_it_went_in(vault, sealed):
    """A record's fields and features open to what was sealed, in the order they came."""
    assert sealed.contact_fields == ("name", "phone")
    assert sealed.sensitive_fields == ("national_id",)
    name, phone = sealed.contact_cells
    assert said(vault.open_cell("contact", "name", 12, 3, sealed.contact_key, name)) == "白小满"
    assert (
        said(vault.open_cell("contact", "phone", 12, 3, sealed.contact_key, phone))
        == "+8613800001111"
    )
    (card,) = sealed.sensitive_cells
    opened = vault.open_cell("sensitive", "national_id", 12, 3, sealed.sensitive_key, card)
    assert isinstance(opened, Sensitive)
    assert said(opened) == "11010119900307000X"
    assert vault.open_features(12, 3, sealed.contact_key, sealed.features) == FEATURES


def test_several_fields_open_at_once(vault, sealed):
    """A page of fields opens with one unwrapping, each field under its own name."""
    both = dict(zip(sealed.contact_fields, sealed.contact_cells, strict=True))
    opened = vault.open_cells("contact", 12, 3, sealed.contact_key, both)
    assert {name: said(value) for name, value in opened.items()} == {
        "name": "白小满",
        "phone": "+8613800001111",
    }
    crossed = {"name": both["phone"], "phone": both["name"]}
    with pytest.raises(CellRefused, match="record 12, revision 3, field name"):
        vault.open_cells("contact", 12, 3, sealed.contact_key, crossed)


def test_features_of_many_records_open_in_order(vault):
    """Many features open in the order asked for, and one that does not open names its record."""
    rows = []
    for record in range(1, 6):
        one = vault.seal_record(record, 1, {}, {}, str(record).encode())
        rows.append((record, 1, one.contact_key, one.features))
    assert vault.open_features_many(reversed(rows)) == [b"5", b"4", b"3", b"2", b"1"]
    rows[2] = (3, 1, rows[2][2], rows[1][3])
    with pytest.raises(CellRefused, match="record 3, revision 1, field features"):
        vault.open_features_many(rows)


def test_a_record_without_fields_still_seals_its_features(vault):
    """A record without contact or sensitive fields has a contact key for its features."""
    one = vault.seal_record(1, 1, {}, {}, b"")
    assert (one.contact_fields, one.contact_cells, one.sensitive_cells) == ((), (), ())
    assert one.sensitive_key is None
    assert vault.open_features(1, 1, one.contact_key, one.features) == b""


@pytest.mark.parametrize(
    "asked",
    [
        ("contact", "name", 13, 3),
        ("contact", "name", 12, 2),
        ("contact", "name", 12, 4),
        ("contact", "surname", 12, 3),
        ("sensitive", "name", 12, 3),
    ],
)
def test_a_cell_opens_only_in_its_place(vault, sealed, asked):
    """Promise 1: asked for as another record, revision, field or tier, a cell does not open."""
    key = vault.seal_record(asked[2], asked[3], CONTACT, SENSITIVE, b"")
    keys = [sealed.contact_key, key.contact_key, key.sensitive_key]
    for wrapped in keys:
        with pytest.raises((CellRefused, WrappedKeyRefused)):
            vault.open_cell(*asked, wrapped, sealed.contact_cells[0])


def test_features_and_fields_do_not_stand_in_for_each_other(vault, sealed):
    """Promise 1: a contact cell does not open as features, nor features as a contact field."""
    with pytest.raises(CellRefused):
        vault.open_features(12, 3, sealed.contact_key, sealed.contact_cells[0])
    with pytest.raises(CellRefused):
        vault.open_cell("contact", "features", 12, 3, sealed.contact_key, sealed.features)


def test_an_older_revision_does_not_open_as_the_newer_one(vault):
    """Promise 1: a cell of revision 1 put back into revision 2 does not open, under either key."""
    one = vault.seal_record(12, 1, {"phone": b"old"}, {}, b"")
    two = vault.seal_record(12, 2, {"phone": b"new"}, {}, b"")
    for key in (one.contact_key, two.contact_key):
        with pytest.raises(CellRefused):
            vault.open_cell("contact", "phone", 12, 2, key, one.contact_cells[0])


def test_every_revision_has_its_own_data_keys(vault):
    """Promise 3: no revision, record or tier opens with the wrapped key of another."""
    one = vault.seal_record(12, 1, CONTACT, SENSITIVE, b"")
    again = vault.seal_record(12, 1, CONTACT, SENSITIVE, b"")
    with pytest.raises(CellRefused):
        vault.open_cell("contact", "name", 12, 1, again.contact_key, one.contact_cells[0])
    with pytest.raises(WrappedKeyRefused):
        vault.open_cell("sensitive", "national_id", 12, 1, one.contact_key, one.sensitive_cells[0])


def test_randomness_is_drawn_anew_for_every_key_and_cell(ring, workspace):
    """Promise 3: keys and nonces of a record are separate parts of one draw, none used twice."""
    drawn = []

    def randomness(size):
        drawn.append(os.urandom(size))
        return drawn[-1]

    one = Vault(ring, workspace, randomness).seal_record(1, 1, CONTACT, SENSITIVE, b"x")
    assert [len(d) for d in drawn] == [32 + 12 * 4, 32 + 12 * 2]
    everything = [*one.contact_cells, one.features, *one.sensitive_cells]
    used = [cell[3:15] for cell in everything]
    used += [one.contact_key.wrapped[3:15], one.sensitive_key.wrapped[3:15]]
    assert len(set(used)) == len(used) == 6
    assert all(nonce in drawn[0][32:] + drawn[1][32:] for nonce in used)
    assert not any(d[:32] in part for d in drawn for part in (*everything, one.contact_key.wrapped))


def test_equal_values_seal_to_different_bytes(vault):
    """Promise 8: an equal value in two fields, records or calls gives different cells."""
    many = [
        vault.seal_record(record, 1, {"name": b"same", "note": b"same"}, {}, b"same")
        for record in (1, 1, 2)
    ]
    every = [cell for one in many for cell in (*one.contact_cells, one.features)]
    assert len(set(every)) == len(every) == 9


def test_a_process_without_the_sensitive_key_works(ring, workspace, vault, sealed):
    """Promise 5: without the sensitive key the contact tier works and the other is refused."""
    counter = Vault(ring.without("sensitive"), workspace)
    assert (counter.holds("contact"), counter.holds("sensitive")) == (True, False)
    key, cell = sealed.contact_key, sealed.contact_cells[0]
    assert said(counter.open_cell("contact", "name", 12, 3, key, cell)) == "白小满"
    own = counter.seal_record(1, 1, CONTACT, {}, b"f")
    assert vault.open_features(1, 1, own.contact_key, own.features) == b"f"
    with pytest.raises(KeyWithheld, match=r"record 12: this process works without|key sensitive"):
        counter.open_cell(
            "sensitive", "national_id", 12, 3, sealed.sensitive_key, sealed.sensitive_cells[0]
        )
    with pytest.raises(KeyWithheld, match=r"key sensitive, record 1: .*next: ask a process"):
        counter.seal_record(1, 1, CONTACT, SENSITIVE, b"f")


def test_the_ring_of_another_workspace_is_refused(ring, other_workspace):
    """Promise 6: a vault is not even made with the ring of another workspace."""
    with pytest.raises(OtherWorkspace, match="next: put the key ring of this workspace"):
        Vault(ring, other_workspace)


def test_another_ring_of_the_same_workspace_opens_nothing(sealed, workspace):
    """Promise 6: a ring with the right id and other keys opens nothing."""
    stranger = Vault(KeyRing.of(RingDocument.fresh(workspace, os.urandom)), workspace)
    with pytest.raises(WrappedKeyRefused):
        stranger.open_features(12, 3, sealed.contact_key, sealed.features)


def test_records_of_two_versions_live_side_by_side(document, second, workspace):
    """Promise 10: after a new key version older records open, and newer ones name theirs."""
    before = Vault(KeyRing.of(document), workspace)
    after = Vault(KeyRing.of(second), workspace)
    old = before.seal_record(1, 1, CONTACT, SENSITIVE, b"old")
    new = after.seal_record(2, 1, CONTACT, SENSITIVE, b"new")
    assert (old.contact_key.version, new.contact_key.version) == (1, 2)
    assert after.open_features(1, 1, old.contact_key, old.features) == b"old"
    assert after.open_features(2, 1, new.contact_key, new.features) == b"new"
    with pytest.raises(KeyMissing, match=r"key contact, version 2, record 2: .*next: restore"):
        before.open_features(2, 1, new.contact_key, new.features)
    moved = WrappedKey(2, old.contact_key.wrapped)
    with pytest.raises(WrappedKeyRefused):
        after.open_features(1, 1, moved, old.features)


def test_everything_stored_carries_format_and_key_version(document, second, workspace):
    """Promise 10: each stored value begins with its format and, after it, its key version."""
    vault = Vault(KeyRing.of(second), workspace)
    one = vault.seal_record(1, 1, CONTACT, SENSITIVE, b"f")
    reject = vault.seal_reject(RejectPlace("pos", "f", 1), Sensitive("row"))
    stored = [*one.contact_cells, *one.sensitive_cells, one.features, reject]
    stored += [one.contact_key.wrapped, one.sensitive_key.wrapped]
    assert {value[:3] for value in stored} == {b"\x01\x00\x02"}


def test_what_cannot_be_sealed_is_refused(vault):
    """An id or revision the database could not hold, or a value that is not bytes, is refused."""
    for record, revision in ((-1, 1), (cells.MAX_RECORD + 1, 1), (1, -1), (1, 2**31)):
        with pytest.raises(NotSealable, match=f"record {record}: .*out of range"):
            vault.seal_record(record, revision, {}, {}, b"")
    vault.seal_record(cells.MAX_RECORD, cells.MAX_REVISION, {}, {}, b"")
    for contact, sensitive, features in (
        ({"phone": "text"}, {}, b""),
        ({}, {"national_id": "text"}, b""),
        ({}, {}, "text"),
        ({"phone": None}, {}, b""),
    ):
        with pytest.raises(NotSealable, match="record 1: a value is not bytes"):
            vault.seal_record(1, 1, contact, sensitive, features)


def test_an_unknown_tier_is_refused(vault, sealed):
    """A tier that the vault does not have opens nothing and names the tiers there are."""
    assert not vault.holds("features")
    with pytest.raises(NotSealable, match=r"tier features, record 12: .*contact or sensitive"):
        vault.open_cell("features", "name", 12, 3, sealed.contact_key, sealed.contact_cells[0])


def test_a_cell_that_is_not_text_is_named(vault):
    """A cell that opens to bytes that are no text names its record and field."""
    one = vault.seal_record(1, 1, {"name": b"\xff\xfe"}, {}, b"")
    with pytest.raises(CellGarbled, match=r"record 1, field name: .*does not hold text"):
        vault.open_cell("contact", "name", 1, 1, one.contact_key, one.contact_cells[0])


# ── rejected rows ───────────────────────────────────────────────────────────

PLACE = RejectPlace("pos", "fingerprint", 7, "phone")


def test_a_rejected_row_comes_back(vault):
    """A rejected row or value opens to what was rejected, whatever its characters."""
    for text in ("", "卡号,\x00姓名", "=cmd|' /C calc'!A0", "x" * 70_000):
        opened = vault.open_reject(PLACE, vault.seal_reject(PLACE, Sensitive(text)))
        assert isinstance(opened, Sensitive)
        assert said(opened) == text


def test_a_rejected_row_with_broken_characters_is_kept(vault):
    """A lone surrogate is replaced, so that the row is listed rather than lost."""
    assert said(vault.open_reject(PLACE, vault.seal_reject(PLACE, Sensitive("a\ud800b")))) == "a?b"


@pytest.mark.parametrize(
    "changed",
    [{"source": "shop"}, {"fingerprint": "other"}, {"position": 8}, {"field": ""}],
    ids=lambda c: next(iter(c)),
)
def test_a_rejected_row_opens_only_in_its_place(vault, changed):
    """Promise 1: a rejected row does not open as of another source, file, position or field."""
    sealed = vault.seal_reject(PLACE, Sensitive("row"))
    with pytest.raises(CellRefused, match="changed or was sealed for another place"):
        vault.open_reject(PLACE._replace(**changed), sealed)


def test_no_changed_rejected_row_opens(vault):
    """Promise 2: flipped, cut or extended anywhere, a rejected row does not open."""
    sealed = vault.seal_reject(PLACE, Sensitive("row"))
    wrong = [sealed[:n] for n in range(len(sealed))] + [sealed + b"\0"]
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        wrong.append(bytes(changed))
    for one in wrong:
        with pytest.raises((CellRefused, CellGarbled, KeyMissing)):
            vault.open_reject(PLACE, one)


def test_a_refused_row_names_its_place(vault):
    """A rejected row that does not open names source, position, field and next step."""
    with pytest.raises(CellGarbled, match=r"source pos, position 7, field phone: .*cut short"):
        vault.open_reject(PLACE, b"\x01")
    with pytest.raises(CellGarbled, match=r"source pos, position 7: .*format 9"):
        vault.open_reject(PLACE._replace(field=""), b"\x09" + bytes(40))
    with pytest.raises(KeyMissing, match="key rejects, version 9"):
        vault.open_reject(PLACE, b"\x01\x00\x09" + bytes(40))


def test_rejected_rows_of_two_versions_open(document, second, workspace):
    """Promise 10: a row rejected under an older key version opens after a new one is in use."""
    sealed = Vault(KeyRing.of(document), workspace).seal_reject(PLACE, Sensitive("row"))
    assert said(Vault(KeyRing.of(second), workspace).open_reject(PLACE, sealed)) == "row"
