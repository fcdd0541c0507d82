"""The tree of brand, regions and stores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import OrganisationRefusedError
from policies.organisation import read_organisation

BRAND = {"id": "kith", "kind": "brand", "name": "Kith"}
NORTH = {"id": "north", "kind": "region", "parent": "kith", "name": "华北"}
STORE = {"id": "BJ01", "kind": "store", "parent": "north", "name": "朝阳店"}


def region(node, parent):
    return {"id": node, "kind": "region", "parent": parent, "name": node}


REFUSED = {
    "empty": ([], "no node"),
    "no mapping": (["kith"], "not a mapping"),
    "unknown key": ([{**BRAND, "colour": "red"}], "unknown key"),
    "duplicate id": ([BRAND, NORTH, {**NORTH}], "used twice"),
    "id with a slash": ([{**BRAND, "id": "a/b"}], "has the id"),
    "id with a newline": ([{**BRAND, "id": "kith\n"}], "has the id"),
    "empty id": ([{**BRAND, "id": ""}], "has the id"),
    "id that is a number": ([{**BRAND, "id": 1001}], "has the id"),
    "id in another script": ([{**BRAND, "id": "店"}], "has the id"),
    "long id": ([{**BRAND, "id": "a" * 65}], "has the id"),
    "no name": ([{"id": "kith", "kind": "brand"}], "has no name"),
    "blank name": ([{**BRAND, "name": "  "}], "has no name"),
    "unknown kind": ([{**BRAND, "kind": "planet"}], "unknown kind"),
    "kind that is a list": ([{**BRAND, "kind": ["brand"]}], "unknown kind"),
    "unknown parent": ([BRAND, {**NORTH, "parent": "mars"}], "unknown parent"),
    "parent that is a number": ([BRAND, {**NORTH, "parent": 7}], "has the parent"),
    "no parent": ([BRAND, {"id": "n", "kind": "region", "name": "n"}], "has no parent"),
    "brand with a parent": ([BRAND, {**BRAND, "id": "b", "parent": "kith"}], "has a parent"),
    "store under a store": ([BRAND, NORTH, STORE, {**STORE, "id": "x", "parent": "BJ01"}], "under"),
    "cycle": ([BRAND, region("a", "b"), region("b", "a")], "above itself"),
    "own parent": ([BRAND, region("a", "a")], "above itself"),
}


@pytest.mark.parametrize(("entries", "rule"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_tree_is_refused(entries, rule):
    """Invariant 1: a cycle, a duplicate, an unknown parent or a bad id is refused, and says so."""
    with pytest.raises(OrganisationRefusedError, match=rule) as caught:
        read_organisation(entries)
    assert "Next:" in str(caught.value)


def test_a_node_covers_the_stores_below_it():
    """Invariant 2: a node covers stores at or below it; unknown nodes and stores, never."""
    tree = read_organisation([STORE, NORTH, BRAND, region("south", "kith")])
    assert all(tree.covers(node, "BJ01") for node in ("kith", "north", "BJ01"))
    assert not tree.covers("south", "BJ01")
    assert not tree.covers("mars", "BJ01")
    assert not tree.covers("kith", "north")
    assert not tree.covers("kith", "BJ02")
    assert tree.stores_under("mars") == frozenset()
    assert tree.path("BJ01") == "kith/north/BJ01"
    assert tree.sole_brand == "kith"


ALL = {
    "two halves": ["0.0.0.0/1", "128.0.0.0/1"],
    "three parts": ["0.0.0.0/2", "128.0.0.0/1", "64.0.0.0/2"],
    "written in IPv6": ["::ffff:0:0/96"],
    "halves written in IPv6": ["::ffff:0:0/97", "::ffff:128.0.0.0/97"],
    "one half of each": ["0.0.0.0/1", "::ffff:128.0.0.0/97"],
    "around those": ["::/1"],
    "beside others": ["10.1.0.0/16", "::fffe:0:0/95"],
}


def test_a_node_is_read_as_it_is_written():
    """Its zone, its networks and its name are its own, and what it leaves out it has not."""
    store = {**STORE, "time_zone": "Asia/Shanghai", "networks": ["10.1.0.0/16"]}
    found = read_organisation([BRAND, NORTH, store]).nodes
    told = found["BJ01"]
    assert (told.name, told.kind, told.parent) == ("朝阳店", "store", "north")
    assert told.time_zone.key == "Asia/Shanghai"
    assert [str(one) for one in told.networks] == ["10.1.0.0/16"]
    assert (found["kith"].time_zone, found["kith"].networks) == (None, ())


def test_a_refused_node_is_named():
    """Who wrote the file is told which entry, what of it, and what to write."""
    for entries, said in (
        ([BRAND, 7], r"entry 2 is not a mapping.*write id, kind, name and parent"),
        ([BRAND, {**STORE, "id": "朝阳"}], r"entry 2 has the id '朝阳'.*use 1 to 64 of A-Z"),
        ([BRAND, {**STORE, "kind": "moon"}], r"node BJ01 has the unknown kind 'moon'.*use one of"),
        (
            [BRAND, {**STORE, "parent": "x"}],
            r"node BJ01 has the unknown parent 'x'.*correct the id",
        ),
        ([BRAND, {**STORE, "parent": "kith", "time_zone": "Mars/One"}], r"zone 'Mars/One'.*IANA"),
        ([BRAND, {**STORE, "parent": "kith", "networks": ["10.0.0.1/8"]}], r"10\.0\.0\.1/8"),
    ):
        with pytest.raises(OrganisationRefusedError, match=said) as caught:
            read_organisation(entries)
        assert "organisation" in str(caught.value)


def test_a_node_has_64_networks_at_most():
    """The last one that is taken, and one more."""
    words = [f"10.{number}.0.0/16" for number in range(65)]
    assert len(read_organisation([{**BRAND, "networks": words[:64]}]).networks("kith")) == 64
    with pytest.raises(OrganisationRefusedError, match="no list of 1 to 64"):
        read_organisation([{**BRAND, "networks": words}])


@pytest.mark.parametrize("networks", ALL.values(), ids=ALL)
def test_networks_that_hold_every_address_are_refused(networks):
    """Invariant 4: alone or together, in whichever way they are written."""
    with pytest.raises(OrganisationRefusedError, match="every address"):
        read_organisation([{**BRAND, "networks": networks}])


def test_networks_that_leave_one_address_out_are_networks():
    """Invariant 4: what is refused is all of them, not many."""
    most = [f"{128 >> one}.0.0.0/{one + 1}" for one in range(8)]  # all but the first eighth bit
    found = read_organisation([{**BRAND, "networks": [*most, "2000::/3", "fc00::/7"]}])
    assert len(found.networks("kith")) == 10


@pytest.mark.parametrize("name", ['a,"b"', "a\nb", "[(", "'); --", "\u202e店", "*"])
def test_names_decide_nothing(name):
    """Invariant 3: a name is free text; the tree is the same whatever it says."""
    tree = read_organisation([BRAND, NORTH, {**STORE, "name": name}])
    assert tree.nodes["BJ01"].name == name
    assert tree.covers("north", "BJ01")


@given(st.lists(st.integers(0, 5), max_size=12))
def test_every_store_is_covered_by_exactly_its_path(parents):
    """The nodes that cover a store are the nodes on its path."""
    entries = [BRAND]
    for number, parent in enumerate(parents):
        above = "kith" if parent >= number else f"r{parent}"
        entries.append(region(f"r{number}", above))
    entries.append({**STORE, "parent": entries[-1]["id"]})
    tree = read_organisation(reversed(entries))
    on_path = set(tree.path("BJ01").split("/"))
    assert {node for node in tree.nodes if tree.covers(node, "BJ01")} == on_path
