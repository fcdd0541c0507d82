"""What is kept of rows that pass: connectors.glimpse."""

from connectors.glimpse import LONGEST, SEEN, Glimpse
from connectors.table import MOST_COLUMNS


def test_it_holds_a_bounded_part():
    """Rows, columns and characters have an end, whatever comes (invariant 1)."""
    glimpse = Glimpse()
    for number in range(SEEN + 50):
        glimpse.see({"id": str(number), "note": "x" * (LONGEST + 1), "tags": ["y"] * 1000})
    wide = Glimpse()
    wide.see({f"c{n}": "1" for n in range(MOST_COLUMNS + 50)})
    table = glimpse.table()
    assert len(table.rows) == SEEN
    assert table.texts("note") == []
    assert len(table.rows[0]["tags"]) == LONGEST
    assert len(wide.table().columns) == MOST_COLUMNS


def test_paths_are_columns_and_lists_give_each_item():
    """As a mapping names them."""
    glimpse = Glimpse()
    glimpse.see({"id": "1", "contact": {"phones": ["13957140286", "13957140287"], "at": None}})
    table = glimpse.table()
    assert table.columns == ("id", "contact.phones", "contact.at")
    assert table.texts("contact.phones") == ["13957140286", "13957140287"]


def test_it_shows_nothing():
    """Neither it nor its table (invariant 2)."""
    glimpse = Glimpse()
    glimpse.see({"id": "13957140286"})
    assert "1395" not in repr(glimpse) + repr(glimpse.table())
