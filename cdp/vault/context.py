"""Bytes that say where something belongs, so that it opens nowhere else.

Every part is written after its length, so two different lists of parts never give the
same bytes: ``("ab", "c")`` is not ``("a", "bc")``.
"""

import struct

_LENGTH = struct.Struct(">I")


def frame(*parts: bytes) -> bytes:
    """Join ``parts``, each after its length in 4 bytes, most significant first."""
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def number(value: int) -> bytes:
    """Write a non-negative number below 2**64 in 8 bytes, most significant first."""
    return value.to_bytes(8, "big")
