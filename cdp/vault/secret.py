"""Key material in memory that does not show itself."""

from typing import NoReturn, final


@final
class Secret:
    """Bytes of a key. Printing, formatting, comparing and pickling give nothing away."""

    __slots__ = ("_material",)

    def __init__(self, material: bytes) -> None:
        self._material = material

    def expose(self) -> bytes:
        """Return the bytes, for a primitive and nothing else."""
        return self._material

    def __repr__(self) -> str:
        return "<secret>"

    # object.__getstate__ would hand out the slot.
    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")
