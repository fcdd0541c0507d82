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


class CatalogueError(IdentityError):
    """An identifier catalogue does not say what it must: where, which rule, what to do."""

    def __init__(self, path: str, rule: str, next_step: str) -> None:
        super().__init__(f"{path}: {rule}. {next_step}")
        self.path = path  # such as identifiers.club_number.feeds
        self.rule = rule
        self.next_step = next_step


class ContradictoryConstraintsError(IdentityError):
    """People have decided that two records are one person, and that they never are."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__(
            f"Records {low} and {high} must be one person by some decisions and cannot be by "
            "another; undo the decision that is wrong, then run again."
        )
        self.low = low
        self.high = high


class UnscoredPairsError(IdentityError):
    """Pairs inside a component were to be scored, and some were not."""

    def __init__(self, wanted: int, scored: int) -> None:
        super().__init__(
            f"Only {scored} of {wanted} pairs inside components were scored; "
            "give the features of every record that takes part, then run again."
        )
        self.wanted = wanted
        self.scored = scored


class NotEnoughMemoryError(IdentityError):
    """A full run does not fit in the memory it may take. Nothing was changed."""

    def __init__(self, limit_mb: int, needed_mb: int) -> None:
        super().__init__(
            f"A full run needs {needed_mb} MB or more and may take {limit_mb} MB. Nothing was "
            "changed; raise CDP_MEMORY_MB, or compare on a cluster with --engine spark."
        )
        self.limit_mb = limit_mb
        self.needed_mb = needed_mb


class SparkMissingError(IdentityError):
    """Spark was asked for, and its Python package is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "pyspark is not installed; install it with: pip install 'kith[spark]', or leave out "
            "--engine spark."
        )


class SparkLostError(IdentityError):
    """The cluster does not answer, or no longer."""

    def __init__(self, master: str, words: str) -> None:
        super().__init__(
            f"The Spark cluster {master} was lost: {words}. Nothing was changed; look whether "
            "its master and its workers run, then run the same command again."
        )
        self.master = master


class SparkFailedError(IdentityError):
    """Spark did not start, or could not do what it was asked."""

    def __init__(self, master: str, words: str) -> None:
        super().__init__(
            f"Spark on {master} failed: {words}. Nothing was changed; it needs Java 17 or newer, "
            "and a folder that every executor sees under the same path (--exchange)."
        )
        self.master = master


class SparkAnswerError(IdentityError):
    """What came back from the cluster cannot be right."""

    def __init__(self, rule: str) -> None:
        super().__init__(
            f"What Spark gave back cannot be right: {rule}. Nothing was changed; make sure that "
            "its executors have the same version of Spark as this machine, then run again."
        )
        self.rule = rule
