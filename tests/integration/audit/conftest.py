import pytest
import sqlalchemy as sa

from cdp.audit.log import (
    append_all,
)
from tests.integration.audit.signed_log import Signer, event, seal_now


@pytest.fixture
def signer() -> Signer:
    """A signing key."""
    return Signer()


@pytest.fixture
def sealed(engine: sa.Engine, signer: Signer) -> sa.Engine:
    """Leaves 0 to 11 under checkpoints of sizes 4, 8 and 12; two events wait unsealed."""
    for part in range(3):
        with engine.begin() as connection:
            append_all(connection, [event(part * 3 + number) for number in range(3)])
        seal_now(engine, signer, hours=part)
    with engine.begin() as connection:
        append_all(connection, [event(20), event(21)])
    return engine
