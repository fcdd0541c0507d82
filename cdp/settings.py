"""Every setting of the platform, read once from the environment.

Nothing else in the house reads the environment. ``docs/howto/settings.md`` lists
the same names; a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cdp.errors import Stop
from connectors.credentials import ENVIRONMENT_PREFIX


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a workspace lives and how much it may use at once."""

    home: Path  # embedded database, key ring, exports
    declaration: Path  # cdp.yaml
    # External PostgreSQL; None: the embedded one. Not shown: it may hold a password.
    database_url: str | None = field(repr=False)
    batch_rows: int  # source rows committed together
    memory_mb: int  # for comparing everybody and for learning an epoch
    threads: int  # sources synced at once, and for DuckDB while resolving
    # Who guards the root of a new key ring, and what the providers need. Secrets are not shown.
    root_provider: str = "file"
    passphrase: str | None = field(default=None, repr=False)
    passphrase_file: Path | None = None
    root_key: str | None = field(default=None, repr=False)  # 32 bytes in base 64
    kms_key: str | None = None  # ARN, id or alias
    kms_endpoint: str | None = None  # another address of AWS KMS
    # The identity provider of people; without an issuer there is none.
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: str | None = field(default=None, repr=False)
    oidc_client_secret_file: Path | None = None
    public_url: str | None = None  # of this service, as browsers see it
    # Secrets of sources: variable -> what it holds. Nothing else can be named by a declaration.
    source_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def key_ring(self) -> Path:
        """The key ring file, mode 0600."""
        return self.home / "keyring.json"

    @property
    def shred_ledger(self) -> Path:
        """The file that says which records were destroyed, mode 0600."""
        return self.home / "shred-ledger.jsonl"

    @property
    def policy_seen(self) -> Path:
        """The file that says which policy this machine saw last, mode 0600."""
        return self.home / "policy-seen.json"

    @property
    def credentials(self) -> Path:
        """The file of sealed credentials of sources, mode 0600."""
        return self.home / "credentials.json"

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
            root_provider=environment.get("CDP_ROOT_PROVIDER") or "file",
            passphrase=environment.get("CDP_PASSPHRASE") or None,
            passphrase_file=_path(environment.get("CDP_PASSPHRASE_FILE")),
            root_key=environment.get("CDP_ROOT_KEY") or None,
            kms_key=environment.get("CDP_KMS_KEY") or None,
            kms_endpoint=environment.get("CDP_KMS_ENDPOINT") or None,
            oidc_issuer=environment.get("CDP_OIDC_ISSUER") or None,
            oidc_client_id=environment.get("CDP_OIDC_CLIENT_ID") or None,
            oidc_client_secret=environment.get("CDP_OIDC_CLIENT_SECRET") or None,
            oidc_client_secret_file=_path(environment.get("CDP_OIDC_CLIENT_SECRET_FILE")),
            public_url=environment.get("CDP_PUBLIC_URL") or None,
            source_secrets={
                name: value
                for name, value in environment.items()
                if name.startswith(ENVIRONMENT_PREFIX)
            },
        )


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _positive(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise Stop("not_a_whole_number", "set it to a whole number of at least 1", setting=name)
    return int(text)
