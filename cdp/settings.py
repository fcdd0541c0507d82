"""Every setting of the platform, read once from the environment.

Nothing else in the house reads the environment. ``docs/howto/settings.md`` lists
the same names; a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cdp.errors import Stop


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a workspace lives and how much it may use at once."""

    home: Path  # embedded database, key ring, exports
    declaration: Path  # cdp.yaml
    database_url: str | None  # external PostgreSQL; None: the embedded one
    batch_rows: int  # source rows committed together
    memory_mb: int  # for DuckDB while resolving
    threads: int  # sources synced at once, and for DuckDB while resolving

    @property
    def key_ring(self) -> Path:
        """The key ring file, mode 0600."""
        return self.home / "keyring.json"

    @property
    def database_folder(self) -> Path:
        """The embedded server's data folder."""
        return self.home / "postgres"

    @property
    def exports(self) -> Path:
        """The only folder that exports are written to by default."""
        return self.home / "exports"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read ``CDP_*``; anything missing has a default that works on a fresh machine."""
        home = Path(environment.get("CDP_HOME") or ".cdp")
        named = environment.get("CDP_CONFIG")
        beside = Path("cdp.yaml")
        return cls(
            home=home,
            declaration=Path(named) if named else beside if beside.exists() else home / "cdp.yaml",
            database_url=environment.get("CDP_DATABASE_URL") or None,
            batch_rows=_positive(environment, "CDP_BATCH_ROWS", 2000),
            memory_mb=_positive(environment, "CDP_MEMORY_MB", 2048),
            threads=_positive(environment, "CDP_THREADS", 2),
        )


def _positive(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise Stop("not_a_whole_number", "set it to a whole number of at least 1", setting=name)
    return int(text)
