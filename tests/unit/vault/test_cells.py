"""Cells: one place, one key, or nothing."""

import itertools
import os
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdp.vault import cells, primitives
from cdp.vault.cells import Place
from cdp.vault.context import frame
from cdp.vault.envelope import DataKey
from cdp.vault.errors import CellGarbled, CellRefused
from cdp.vault.secret import Secret

CIPHER = primitives.field_cipher(Secret(bytes(range(32))))
KEY = DataKey(CIPHER, 1)
PLACE = Place(UUID(int=1), "contact", "contact", "phone", 12, 3)

# Two values for each coordinate, chosen to be easily taken for each other.
COORDINATES = {
    "workspace": (UUID(int=1), UUID(int=2)),
    "tier": ("contact", "sensitive"),
    "table": ("contact", "record"),
    "field": ("phone", "phones"),
    "record": (1, 256),
    "revision": (1, 256),
    "key_version": (1, 256),
}
PLACES = [
    (Place(*values[:-1]), DataKey(CIPHER, values[-1]))
    for values in itertools.product(*COORDINATES.values())
]


def test_no_swap_opens():
    """Promise 1: over all pairs of places, a cell opens in its own and in none of the others."""
    sealed = [cells.seal(key, place, b"value", os.urandom(12)) for place, key in PLACES]
    for (made, cell), (asked, (place, key)) in itertools.product(
        enumerate(sealed), enumerate(PLACES)
    ):
        if made == asked:
            assert cells.open_cell(key, place, cell) == b"value"
        else:
            with pytest.raises(CellRefused):
                cells.open_cell(key, place, cell)


@pytest.mark.parametrize("coordinate", [*COORDINATES, "format"])
def test_every_coordinate_is_bound(coordinate):
    """Promise 1: to change one coordinate alone, even with a matching head, refuses to open."""
    cell = cells.seal(KEY, PLACE, b"value", os.urandom(12))
    place, key = PLACE, KEY
    if coordinate == "format":
        cell = bytes([2]) + cell[1:]
    elif coordinate == "key_version":
        # The head is put right as well: the version inside the bound context still tells.
        key = DataKey(CIPHER, 2)
        cell = cells.head(key) + cell[3:]
    else:
        place = PLACE._replace(**{coordinate: COORDINATES[coordinate][1]})
    with pytest.raises((CellRefused, CellGarbled)):
        cells.open_cell(key, place, cell)


def test_the_format_is_part_of_what_is_bound(monkeypatch):
    """Promise 1: a cell made under another format does not open by changing its first byte."""
    with monkeypatch.context() as other:
        other.setattr(cells, "FORMAT", 2)
        cell = cells.seal(KEY, PLACE, b"value", os.urandom(12))
    assert cell[0] == 2
    with pytest.raises(CellRefused):
        cells.open_cell(KEY, PLACE, b"\x01" + cell[1:])


text = st.text(max_size=6)
places = st.builds(
    Place,
    st.sampled_from([UUID(int=1), UUID(int=2)]),
    text,
    text,
    text,
    st.integers(0, cells.MAX_RECORD),
    st.integers(0, cells.MAX_REVISION),
)


@settings(max_examples=200, deadline=None)
@given(places, places, st.integers(1, 65535), st.integers(1, 65535))
def test_two_places_never_share_their_bytes(one, other, version, other_version):
    """Two different places give two different contexts, wherever the names are cut."""
    same = cells.bound(one, version) == cells.bound(other, other_version)
    assert same == ((one, version) == (other, other_version))


def test_names_are_not_run_together():
    """A name that moves from one part to the next gives another context."""
    one = PLACE._replace(tier="ab", table="c")
    other = PLACE._replace(tier="a", table="bc")
    assert cells.bound(one, 1) != cells.bound(other, 1)
    assert frame(b"ab", b"c") != frame(b"a", b"bc")
    assert frame(b"", b"a") != frame(b"a", b"")


def test_the_context_is_the_framed_place():
    """The context is workspace, tier, table, field, record, revision, key version and format."""
    assert cells.bound(PLACE, 5) == frame(
        UUID(int=1).bytes,
        b"contact",
        b"contact",
        b"phone",
        (12).to_bytes(8, "big"),
        (3).to_bytes(4, "big"),
        (5).to_bytes(2, "big"),
        b"\x01",
    )


@settings(max_examples=100, deadline=None)
@given(places, st.binary(max_size=400), st.binary(min_size=12, max_size=12))
def test_what_goes_in_comes_out(place, plaintext, nonce):
    """Any bytes at any place come back as they were."""
    cell = cells.seal(KEY, place, plaintext, nonce)
    assert len(cell) == len(plaintext) + cells.MIN_BYTES
    assert cells.open_cell(KEY, place, cell) == plaintext


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(max_size=5), st.binary(max_size=20), max_size=5))
def test_a_row_is_sealed_as_its_cells_would_be(values):
    """Sealing a row at once gives byte for byte what sealing its cells one by one gives."""
    nonces = os.urandom(12 * len(values))
    names = list(values)
    columns = [cells.column(PLACE.workspace, PLACE.tier, PLACE.table, name) for name in names]
    row = cells.seal_row(KEY, columns, cells.row(12, 3, 1), values.values(), nonces)
    assert list(row) == [
        cells.seal(KEY, PLACE._replace(field=n), values[n], nonces[12 * i : 12 * i + 12])
        for i, n in enumerate(names)
    ]


def test_no_flipped_bit_opens():
    """Promise 2: whichever single bit of a cell is flipped, it does not open."""
    cell = cells.seal(KEY, PLACE, b"+8613800001111", os.urandom(12))
    for bit in range(len(cell) * 8):
        changed = bytearray(cell)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CellRefused, CellGarbled)):
            cells.open_cell(KEY, PLACE, bytes(changed))


def test_no_cut_or_extended_cell_opens():
    """Promise 2: a cell cut at either end, or extended at either end, does not open."""
    cell = cells.seal(KEY, PLACE, b"+8613800001111", os.urandom(12))
    wrong = [cell[:n] for n in range(len(cell))] + [cell[n:] for n in range(1, len(cell))]
    wrong += [cell + tail for tail in (b"\0", b"\x01", cell[-16:], cell)]
    wrong += [head + cell for head in (b"\0", b"\x01", cell[:3], cell[:15])]
    for one in wrong:
        with pytest.raises((CellRefused, CellGarbled)):
            cells.open_cell(KEY, PLACE, one)


@pytest.mark.parametrize(
    ("cell", "error", "rule"),
    [
        (b"", CellGarbled, "cut short"),
        (b"\x01\x00\x01" + bytes(27), CellGarbled, "cut short"),
        (b"\x09\x00\x01" + bytes(28), CellGarbled, "format 9, this release reads 1"),
        (b"\x01\x00\x02" + bytes(28), CellRefused, "another key version"),
        (b"\x01\x00\x01" + bytes(28), CellRefused, "changed or was sealed for another place"),
    ],
)
def test_a_refusal_names_record_field_and_next_step(cell, error, rule):
    """A cell that does not open names its record, revision, field, what is wrong, what to do."""
    with pytest.raises(error, match=rf"record 12, revision 3, field phone: .*{rule}.*next: "):
        cells.open_cell(KEY, PLACE, cell)


def test_another_data_key_does_not_open():
    """A cell under another record's data key does not open, even in the right place."""
    cell = cells.seal(KEY, PLACE, b"value", os.urandom(12))
    other = DataKey(primitives.field_cipher(Secret(os.urandom(32))), 1)
    with pytest.raises(CellRefused):
        cells.open_cell(other, PLACE, cell)
