"""Disjoint sets, for connected components."""


class DisjointSets:
    """Union-find over the numbers 0 to size - 1, with path halving."""

    __slots__ = ("_parent",)

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, item: int) -> int:
        """Return the smallest number of the item's set."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, one: int, other: int) -> None:
        """Make one set of the sets of two items; the smaller root wins."""
        low, high = sorted((self.find(one), self.find(other)))
        self._parent[high] = low
