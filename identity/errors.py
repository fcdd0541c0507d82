"""What can go wrong in identity, each with what to do next."""


class IdentityError(Exception):
    """Base of every error of this package."""


class FeatureVersionError(IdentityError):
    """A record's features were made by another version of Kith, or are damaged."""

    def __init__(self, record_id: int) -> None:
        super().__init__(
            f"The features of record {record_id} are of another version or damaged; "
            "sync its source again from the start to derive them anew."
        )
        self.record_id = record_id


class ModelVersionError(IdentityError):
    """A model file was made by another version of Kith, or was altered."""


class TooFewRecordsError(IdentityError):
    """There is nothing to compare."""
