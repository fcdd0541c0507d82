"""What the vault says when it refuses: the words, the place and the next step, exactly.

An error that opens nothing is of use only if it names the record and what to do next, so
the sentences are held to the letter. No other part of the vault may change them by chance.
"""

import copy
import pickle
from uuid import UUID

import pytest

from cdp.vault import cells, rejects
from cdp.vault.blind import INDEXED_FIELDS, REFUSED_FIELDS, BlindIndexer
from cdp.vault.cells import Place
from cdp.vault.envelope import WRAPPED_BYTES, DataKey, Wrapping
from cdp.vault.errors import (
    CellGarbled,
    CellRefused,
    NotIndexable,
    NotKeyable,
    WrappedKeyRefused,
)
from cdp.vault.keyed import BlockKeyer, FeatureKeyer, RecordKeys
from cdp.vault.primitives import field_cipher, key_cipher
from cdp.vault.rejects import RejectPlace
from cdp.vault.secret import Secret

SECRET = Secret(bytes(range(32)))
WORKSPACE = UUID(int=1)
PLACE = Place(WORKSPACE, "contact", "contact", "phone", 12, 3)
KEY = DataKey(field_cipher(SECRET), 7)
CELL = cells.seal(KEY, PLACE, b"value", bytes(12))
RESYNC = "sync the record's source again, or restore its row of the vault"
RESTORE = "sync the record's source again, or restore its row of the key table"
RELEASE = "use the release that wrote it, or a newer one"
ASIDE = RejectPlace("pos", "f", 4, "phone")
SEALED = rejects.seal(key_cipher(SECRET), 9, WORKSPACE, ASIDE, (bytes(12), b"row"))
ANEW = "sync the source again, which rejects the row anew"


def refused(kind, do):
    """The sentence of the error that ``do`` ends in."""
    with pytest.raises(kind) as caught:
        do()
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize(
    ("cell", "kind", "rule", "step"),
    [
        (b"", CellGarbled, "the cell is cut short", RESYNC),
        (CELL[:30], CellGarbled, "the cell is cut short", RESYNC),
        (
            b"\x02" + CELL[1:],
            CellGarbled,
            "the cell has format 2, this release reads 1",
            RELEASE,
        ),
        (
            CELL[:2] + b"\x08" + CELL[3:],
            CellRefused,
            "the cell is of another key version than its data key",
            RESYNC,
        ),
        (
            CELL[:31],
            CellRefused,
            "the cell was changed or was sealed for another place",
            RESYNC,
        ),
        (
            CELL + b"\0",
            CellRefused,
            "the cell was changed or was sealed for another place",
            RESYNC,
        ),
    ],
)
def test_a_cell_that_does_not_open_says_why(cell, kind, rule, step):
    """Record, revision and field are named, then what is wrong with the cell and what to do."""
    said = refused(kind, lambda: cells.open_cell(KEY, PLACE, cell))
    assert said == f"record 12, revision 3, field phone: {rule}; next: {step}"


def test_the_shortest_cell_is_one_without_content():
    """A cell of an empty value has 31 bytes, and opens."""
    empty = cells.seal(KEY, PLACE, b"", bytes(12))
    assert len(empty) == cells.MIN_BYTES == 31
    assert cells.open_cell(KEY, PLACE, empty) == b""


def test_a_wrapped_key_that_does_not_open_says_why():
    """Record and tier are named, then what is wrong with the wrapped key and what to do."""
    wrapping = Wrapping(SECRET, WORKSPACE, "contact", 1)
    good = wrapping.wrap(12, SECRET, 1, bytes(12))[0].wrapped
    for wrapped, rule in (
        (b"", "the wrapped key does not have the length of one"),
        (good[:-1], "the wrapped key does not have the length of one"),
        (good + b"\0", "the wrapped key does not have the length of one"),
        (b"\x02" + good[1:], "the wrapped key has format 2, this release reads 1"),
        (
            good[: WRAPPED_BYTES - 1] + bytes([good[-1] ^ 1]),
            "the wrapped key was changed or belongs to another place",
        ),
    ):
        said = refused(WrappedKeyRefused, lambda wrapped=wrapped: wrapping.unwrap(12, wrapped))
        assert said == f"record 12, tier contact: {rule}; next: {RESTORE}"


def test_a_rejected_row_that_does_not_open_says_why():
    """Source, position and, of a single value, the field are named, and what to do."""
    where = "source pos, position 4, field phone"
    for sealed, rule, step in (
        (SEALED[:30], "the rejected row is cut short", ANEW),
        (b"\x02" + SEALED[1:], "the rejected row has format 2, this release reads 1", RELEASE),
    ):
        said = refused(CellGarbled, lambda sealed=sealed: rejects.key_version(ASIDE, sealed))
        assert said == f"{where}: {rule}; next: {step}"
    whole = ASIDE._replace(field="")
    for place, named in (
        (ASIDE._replace(fingerprint="g"), where),
        (whole, "source pos, position 4"),
    ):
        said = refused(
            CellRefused,
            lambda place=place: rejects.open_sealed(key_cipher(SECRET), WORKSPACE, place, SEALED),
        )
        rule = "the rejected row was changed or was sealed for another place"
        assert said == f"{named}: {rule}; next: {ANEW}"


def test_a_rejected_row_tells_its_key_version_and_opens():
    """The shortest has 31 bytes; its version is read before the key that opens it is fetched."""
    cipher = key_cipher(SECRET)
    assert rejects.key_version(ASIDE, SEALED) == 9
    assert rejects.open_sealed(cipher, WORKSPACE, ASIDE, SEALED) == b"row"
    empty = rejects.seal(cipher, 2**16 - 1, WORKSPACE, ASIDE, (bytes(12), b""))
    assert len(empty) == 31
    assert rejects.key_version(ASIDE, empty) == 2**16 - 1
    assert rejects.open_sealed(cipher, WORKSPACE, ASIDE, empty) == b""


def test_what_cannot_be_indexed_says_why(ring):
    """The field is named, why it may have no index of its own, and what to do instead."""
    indexer = BlindIndexer(ring)
    named = ", ".join(sorted(INDEXED_FIELDS))
    for field, value, rule, step in (
        ("phone", "", "the value is empty or not text", "leave out the index of this field"),
        (
            "phone",
            "\ud800",
            "the value is empty or not text",
            "leave out the index of this field",
        ),
        (
            "surname",
            "x",
            f"the field may not be indexed: {REFUSED_FIELDS['surname']}",
            f"look people up by one of {named}",
        ),
        (
            "shoe_size",
            "x",
            "the field may not be indexed: it is not known to be nearly unique",
            f"look people up by one of {named}",
        ),
    ):
        said = refused(
            NotIndexable, lambda field=field, value=value: indexer.index(field, None, value)
        )
        assert said == f"field {field}: {rule}; next: {step}"
    assert len(refused(NotIndexable, lambda: indexer.index("phone", "\ud800", "1"))) > 0


def test_what_cannot_be_keyed_says_why(ring):
    """The feature or the source is named, and what to do without the keyed form."""
    for value in ("", "\ud800"):
        said = refused(NotKeyable, lambda value=value: FeatureKeyer(ring).key("name", value))
        assert said == ("feature name: the value is empty or not text; next: leave the feature out")
        said = refused(NotKeyable, lambda value=value: RecordKeys(ring).record_key("pos", value))
        assert said == "source pos: the record id is empty or not text; next: reject the row"


def test_what_holds_a_key_says_what_it_is_and_what_to_do_in_another_process(ring):
    """Promise 7: the text of an object names its kind and version; pickling says what to do."""
    wrapping = Wrapping(SECRET, WORKSPACE, "contact", 5)
    for one, said, why in (
        (SECRET, "<secret>", "a secret cannot be pickled"),
        (KEY, "<data key, version 7>", "a data key cannot be pickled"),
        (
            wrapping,
            "<wrapping of contact keys, version 5>",
            "a wrapping key cannot be pickled",
        ),
        (
            BlindIndexer(ring),
            "<blind indexer, epoch 1>",
            "a blind indexer cannot be pickled; make one in each process",
        ),
        (
            FeatureKeyer(ring),
            "<feature keyer, version 1>",
            "a feature keyer cannot be pickled; make one in each process",
        ),
        (
            BlockKeyer(ring),
            "<blocking keyer>",
            "a blocking keyer cannot be pickled; make one in each process",
        ),
        (
            RecordKeys(ring),
            "<record keys>",
            "record keys cannot be pickled; make them in each process",
        ),
    ):
        assert repr(one) == str(one) == said
        for door in (pickle.dumps, copy.copy, copy.deepcopy, lambda one: one.__reduce__()):
            with pytest.raises(TypeError) as caught:
                door(one)
            assert str(caught.value) == why
    with pytest.raises(TypeError) as caught:
        SECRET.__getstate__()
    assert str(caught.value) == "a secret cannot be pickled"
