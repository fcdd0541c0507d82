"""Why two records are one person: the strongest way from one to the other. Pure."""

import heapq
from collections.abc import Sequence

from cdp.profiles.evidence import Link


def strongest_way(links: Sequence[Link], start: int, end: int) -> list[Link]:
    """The chain of links whose weakest one is as strong as possible (a widest path).

    Args:
        links: the links inside one profile.
        start: a record id.
        end: another record id.

    Returns:
        The links from ``start`` to ``end``: the direct one if they were compared with
        each other, whatever leads around; empty if no chain exists.
    """
    beside: dict[int, list[tuple[int, Link]]] = {}
    for link in links:
        beside.setdefault(link.low_id, []).append((link.high_id, link))
        beside.setdefault(link.high_id, []).append((link.low_id, link))
    direct = [link for other, link in beside.get(start, []) if other == end]
    if direct:
        return direct
    # Strongest bottleneck first; fewer steps, then smaller ids on the way, break ties.
    queue: list[tuple[float, int, tuple[int, ...], list[Link]]] = [(-float("inf"), 0, (start,), [])]
    done: set[int] = set()
    while queue:
        weakest, steps, trail, way = heapq.heappop(queue)
        here = trail[-1]
        if here == end:
            return way
        if here in done:
            continue
        done.add(here)
        for other, link in beside.get(here, []):
            if other not in done:
                onward = (max(weakest, -link.bits), steps + 1, (*trail, other), [*way, link])
                heapq.heappush(queue, onward)
    return []
