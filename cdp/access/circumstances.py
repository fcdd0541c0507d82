"""What holds while somebody asks: on shift, in the network, at the store today. Pure.

Invariants, each named by a test in ``tests/unit/access/test_circumstances.py``:

1. Nothing holds that was not declared: without shifts nobody is on shift, without networks
   nobody is in one, without a line in today's roster nobody is at the store.
2. The wall clock of the subject's own node says what day and time it is.
3. An address is that of the connection. One that is missing or cannot be read is in no network;
   an IPv4 address written as IPv6 is the IPv4 address.
4. Only what is asked for is worked out.
"""

import datetime as dt
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Final

from connectors.record import Raw
from policies.organisation import Organisation
from policies.shifts import Shift, on_shift
from policies.vocabulary import NO_CIRCUMSTANCES, Circumstances

THIS_MACHINE: Final = "this machine"
"""The address of a command: whoever types it is where the keys are."""


@dataclass(frozen=True, slots=True)
class Moment(Raw):
    """When and from where somebody asks.

    Attributes:
        now: with a time zone.
        address: of the connection, `THIS_MACHINE`, or None where there is none.
        rostered: whether today's roster has them at their node.
    """

    now: dt.datetime
    address: str | None = field(repr=False)
    rostered: bool = False


def holding(
    needed: Circumstances,
    organisation: Organisation,
    node: str,
    shifts: tuple[Shift, ...],
    moment: Moment,
) -> Circumstances:
    """Return which of the circumstances asked for hold for a subject at a node.

    Args:
        needed: what some policy line depends on.
        organisation: with time zones and networks.
        node: of the subject.
        shifts: of the subject.
        moment: when and from where they ask.
    """
    held = NO_CIRCUMSTANCES
    if Circumstances.ON_SHIFT in needed and _on_shift(organisation, node, shifts, moment.now):
        held |= Circumstances.ON_SHIFT
    if Circumstances.IN_NETWORK in needed and _in_network(organisation, node, moment.address):
        held |= Circumstances.IN_NETWORK
    if Circumstances.AT_STORE in needed and moment.rostered:
        held |= Circumstances.AT_STORE
    return held


def today(organisation: Organisation, node: str, now: dt.datetime) -> dt.date | None:
    """Return the date at a node; None where no time zone is declared."""
    zone = organisation.time_zone(node)
    return None if zone is None else now.astimezone(zone).date()


def _on_shift(
    organisation: Organisation, node: str, shifts: tuple[Shift, ...], now: dt.datetime
) -> bool:
    zone = organisation.time_zone(node)
    return zone is not None and on_shift(shifts, now.astimezone(zone))


def _in_network(organisation: Organisation, node: str, address: str | None) -> bool:
    if address == THIS_MACHINE:
        return True
    try:
        found = ip_address(address or "")
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in organisation.networks(node))
