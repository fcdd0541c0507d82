"""Features and epochs that are compared are of one version of the features key.

The database names that version (``workspace.feature_key``); it is the highest that anything
stored has. What is older is brought under it when it is read: nobody's value is opened for
that, and who has a feature in common with whom stays as it was.
"""

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa

from cdp.errors import Stop
from cdp.storage.schema import workspace
from cdp.vault.keyed import FeatureLayers
from identity import features
from identity.model import Model

_STEP = "run: cdp key rotate features --resume"


def in_force(connection: sa.Connection) -> int:
    """The version that features are compared under."""
    return connection.scalar(sa.select(workspace.c.feature_key)) or 1


def brought_up(
    layers: FeatureLayers, to: int, rows: Sequence[tuple[int, int]], blobs: Sequence[bytes]
) -> list[bytes]:
    """Bring packed features under one version.

    Args:
        layers: of the workspace.
        to: that version.
        rows: record id, and the version its features are of.
        blobs: the packed features, in the same order.

    Raises:
        Stop: features are of a newer version than the workspace names.
        KeyMissing: the ring lacks a version between.
    """
    found = list(blobs)
    for version in {key for _, key in rows} - {to}:
        places = [place for place, (_, key) in enumerate(rows) if key == version]
        ids = [rows[place][0] for place in places]
        if version > to:
            raise Stop("features_of_a_newer_key", _STEP, record=ids[0])
        older = [blobs[place] for place in places]
        renewed = features.rekeyed(ids, older, layers.over(version, to))
        for place, blob in zip(places, renewed, strict=True):
            found[place] = blob
    return found


def epoch_under(layers: FeatureLayers, model: Model, to: int) -> Model:
    """The same epoch for features of a version.

    Raises:
        Stop: the epoch is of a newer version.
        KeyMissing: the ring lacks a version between.
    """
    if model.feature_key == to:
        return model
    if model.feature_key > to:
        raise Stop("epoch_of_a_newer_features_key", _STEP, features_key=model.feature_key)
    brought = layers.over(model.feature_key, to)
    return model.rekeyed(to, lambda keys: brought(np.array(keys, np.int64)).tolist())
