"""What holds while somebody asks: `cdp/access/circumstances.py`."""

import datetime as dt
from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.access.circumstances import THIS_MACHINE, Moment, holding, today
from policies.errors import OrganisationRefusedError
from policies.organisation import read_organisation
from policies.shifts import read_shifts
from policies.vocabulary import ALL_CIRCUMSTANCES, EVERY_CIRCUMSTANCES, Circumstances

NONE = Circumstances(0)
ON_SHIFT, IN_NETWORK, AT_STORE = Circumstances
TREE = read_organisation(
    [
        {"id": "kith", "kind": "brand", "name": "Kith", "time_zone": "Asia/Shanghai"},
        {"id": "north", "kind": "region", "name": "North", "parent": "kith",
         "networks": ["10.1.0.0/16", "2001:db8:1::/48"]},
        {"id": "BJ01", "kind": "store", "name": "B1", "parent": "north"},
        {"id": "BJ02", "kind": "store", "name": "B2", "parent": "north",
         "networks": ["192.0.2.0/24"], "time_zone": "Europe/Berlin"},
        {"id": "SZ01", "kind": "store", "name": "S1", "parent": "kith"},
        {"id": "other", "kind": "brand", "name": "Other"},
    ]
)  # fmt: skip
DAY = read_shifts("x", {"days": ["mon"], "from": "09:00", "to": "18:00"})
NOON = dt.datetime(2026, 5, 4, 4, 0, tzinfo=dt.UTC)  # noon in Shanghai, six in Berlin


def held(node: str, address: str | None = None, *, now=NOON, shifts=DAY, rostered=False):
    """What holds, of everything."""
    return holding(ALL_CIRCUMSTANCES, TREE, node, shifts, Moment(now, address, rostered))


def test_nothing_holds_that_was_not_declared() -> None:
    """Invariant 1: no shift, no network, no roster, no time zone, no such node: nothing."""
    assert held("SZ01", "10.1.2.3", shifts=()) == NONE
    assert held("other", "10.1.2.3") == NONE
    assert held("nowhere", "10.1.2.3") == NONE
    assert held("SZ01", rostered=True, shifts=()) == AT_STORE
    assert today(TREE, "other", NOON) is None


def test_the_wall_clock_of_the_node_decides() -> None:
    """Invariant 2: one moment is noon at one store and before opening at another."""
    assert held("BJ01") == ON_SHIFT
    assert held("BJ02") == NONE
    late = dt.datetime(2026, 5, 4, 16, 30, tzinfo=dt.UTC)
    assert today(TREE, "BJ01", late) == dt.date(2026, 5, 5)
    assert today(TREE, "BJ02", late) == dt.date(2026, 5, 4)


@pytest.mark.parametrize(
    ("node", "address", "inside"),
    [
        ("BJ01", "10.1.255.255", True), ("BJ01", "10.2.0.0", False),
        ("north", "10.1.0.0", True), ("kith", "10.1.0.0", False), ("SZ01", "10.1.0.0", False),
        ("BJ02", "192.0.2.9", True), ("BJ02", "10.1.0.1", False),
        ("BJ01", "2001:db8:1::7", True), ("BJ01", "2001:db8:2::7", False),
        ("BJ01", "::ffff:10.1.0.9", True), ("BJ01", "::ffff:10.2.0.9", False),
        ("BJ01", "10.1.0.9, 10.1.0.8", False), ("BJ01", "testclient", False), ("BJ01", "", False),
        ("BJ01", None, False), ("BJ01", "127.0.0.1", False), ("BJ01", "010.1.0.9", False),
        ("BJ01", THIS_MACHINE, True), ("other", THIS_MACHINE, True),
    ],
)  # fmt: skip
def test_an_address_is_in_the_networks_of_the_node(node, address, inside) -> None:
    """Invariant 3: the nearest node above that names networks says which they are."""
    assert (IN_NETWORK in held(node, address)) == inside


@given(st.integers(0, 2**32 - 1))
def test_an_address_is_one_however_it_is_written(number: int) -> None:
    """Invariant 3: IPv4, and the same as IPv6."""
    address = IPv4Address(number)
    inside = address in IPv4Network("10.1.0.0/16")
    for written in (str(address), f"::ffff:{address}", str(IPv6Address(0xFFFF << 32 | number))):
        assert (IN_NETWORK in held("BJ01", written)) == inside


@given(st.sampled_from(EVERY_CIRCUMSTANCES), st.booleans(), st.sampled_from(["10.1.0.1", None]))
def test_only_what_is_asked_for_is_said(needed, rostered, address) -> None:
    """Invariant 4: the same as of everything, cut to what is asked for."""
    moment = Moment(NOON, address, rostered)
    everything = holding(ALL_CIRCUMSTANCES, TREE, "BJ01", DAY, moment)
    assert holding(needed, TREE, "BJ01", DAY, moment) == everything & needed


@pytest.mark.parametrize(
    "part",
    [
        {"time_zone": word} for word in (
            None, 8, "", "Asia", "Asia/Nowhere", "../../etc/passwd", "/etc/localtime", "Asia/",
            "Asia/Shanghai\n", "UTC+8", "x" * 400,
        )
    ] + [
        {"networks": word} for word in (
            None, "10.1.0.0/16", [], ["10.1.0.0"], ["10.1.0.1/16"], ["0.0.0.0/0"], ["::/0"],
            ["10.1.0.0/33"], ["10.1.0.0/ 16"], [7], [None], ["10.0.0.0/8"] * 65,
            ["fe80::1%eth0/64"], ["１０.1.0.0/16"],
        )
    ],
)  # fmt: skip
def test_a_garbled_time_zone_or_network_is_refused(part) -> None:
    """Organisation 4: the node is named, with the next step."""
    with pytest.raises(OrganisationRefusedError) as caught:
        read_organisation([{"id": "kith", "kind": "brand", "name": "Kith", **part}])
    assert "node kith" in str(caught.value)
    assert "Next:" in str(caught.value)
