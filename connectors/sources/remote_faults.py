"""What went wrong with a file elsewhere, as a rule and a next step.

Engines raise kinds of their own, with words that may hold addresses and secrets. Only the kind
of an error is looked at, and never its words.
"""

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

from connectors.errors import ConnectorError, Retry, Stop

# rule -> whether it may go well later, and the next step
_STEPS: Final[Mapping[str, tuple[bool, str]]] = MappingProxyType(
    {
        "file_missing": (False, "Put the file there, or correct the location."),
        "not_allowed": (
            False,
            "Allow the credentials to read it, or correct them. A missing file looks so, too.",
        ),
        "wrong_region": (False, "Declare remote.region as the bucket has it, and its endpoint."),
        "host_unknown": (
            False,
            "Add the server's key to remote.known_hosts after its owner confirmed it.",
        ),
        "host_key_changed": (
            False,
            "Ask the server's owner, and replace it in known_hosts only if they changed it.",
        ),
        "known_hosts_unreadable": (False, "Put the file of remote.known_hosts there, readable."),
        "private_key_unusable": (False, "Give a private key in PEM form, and its passphrase."),
        "certificate_refused": (False, "Have the endpoint show a certificate that is trusted."),
        "location_wrong": (False, "Correct bucket and key, or host and path."),
        "not_a_file": (False, "Name one file, not a folder."),
        "not_readable": (False, "Read the file with the place's own tools, and see what it says."),
        "not_reachable": (True, "Look at the address and the network, then run it again."),
        "timed_out": (True, "Run it again, or raise remote.timeout."),
        "connection_lost": (True, "Run it again."),
        "place_busy": (True, "Run it again later."),
        "changed_while_reading": (True, "Run it again when the file is written whole."),
    }
)
_CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "NoSuchBucket": "file_missing",
        "NoSuchKey": "file_missing",
        "404": "file_missing",
        "PreconditionFailed": "changed_while_reading",
        "412": "changed_while_reading",
        "InvalidRange": "changed_while_reading",
        "416": "changed_while_reading",
        "PermanentRedirect": "wrong_region",
        "TemporaryRedirect": "wrong_region",
        "301": "wrong_region",
        "307": "wrong_region",
        "400": "wrong_region",  # what a HEAD to the wrong region gives
        "AuthorizationHeaderMalformed": "wrong_region",
        "IllegalLocationConstraintException": "wrong_region",
        "RequestTimeout": "timed_out",
        "SlowDown": "place_busy",
    }
)
# Names of exceptions, the more telling first: aiohttp, botocore and paramiko have many.
_NAMES: Final = (
    ("UnknownHostError", "host_unknown"),
    ("BadHostKeyException", "host_key_changed"),
    ("AuthenticationException", "not_allowed"),
    ("FileExpired", "changed_while_reading"),
    ("SSLError", "certificate_refused"),
    ("ClientConnectorCertificateError", "certificate_refused"),
    ("RecursionError", "wrong_region"),  # a store that sends its client in circles
    ("ParamValidationError", "location_wrong"),
    ("InvalidBucketName", "location_wrong"),
    ("Timeout", "timed_out"),
    ("IncompleteRead", "connection_lost"),
    ("ResponseStreaming", "connection_lost"),
    ("ClientPayloadError", "connection_lost"),
    ("ConnectionClosed", "connection_lost"),
    ("ServerDisconnected", "connection_lost"),
    ("ConnectionReset", "connection_lost"),
    ("BrokenPipe", "connection_lost"),
    ("EOFError", "connection_lost"),
    ("EndpointConnection", "not_reachable"),
    ("ClientConnector", "not_reachable"),
    ("NoValidConnections", "not_reachable"),
    ("ConnectionRefused", "not_reachable"),
    ("gaierror", "not_reachable"),
    ("HTTPClientError", "not_reachable"),
    ("FileNotFoundError", "file_missing"),
    ("PermissionError", "not_allowed"),
    ("SSHException", "connection_lost"),
)
_NUMBERS: Final = {
    errno.ENOENT: "file_missing",
    errno.EACCES: "not_allowed",
    errno.EHOSTUNREACH: "not_reachable",
    errno.ENETUNREACH: "not_reachable",
    errno.EBUSY: "place_busy",
    getattr(errno, "EREMOTEIO", errno.EIO): "place_busy",
    getattr(errno, "EREMCHG", errno.EIO): "wrong_region",
}


class UnknownHostError(Exception):
    """The server's key is not among those that are known."""


@contextmanager
def told(source: str) -> Iterator[None]:
    """Turn what an engine raises into a rule and a next step; its own words may hold secrets."""
    try:
        yield
    except ConnectorError:
        raise
    except Exception as error:  # noqa: BLE001 - each engine raises kinds of its own
        rule = _rule_of(error)
    else:
        return
    raise failure(source, rule)


def _rule_of(error: BaseException) -> str:
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    tries: tuple[Callable[[BaseException], str | None], ...] = (_by_code, _by_name, _by_number)
    for told in tries:
        for one in chain:
            if found := told(one):
                return found
    return "not_readable"


def _by_code(error: BaseException) -> str | None:
    """The rule of an answer of the store."""
    answer = getattr(error, "response", None)
    if not isinstance(answer, dict):
        return None
    code = str(answer.get("Error", {}).get("Code", ""))
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _CODES:
        return _CODES[code]
    if status in {401, 403}:
        return "not_allowed"
    return "place_busy" if status >= 500 else None


def _by_name(error: BaseException) -> str | None:
    names = [kind.__name__ for kind in type(error).__mro__]
    return next((rule for part, rule in _NAMES if any(part in name for name in names)), None)


def _by_number(error: BaseException) -> str | None:
    return _NUMBERS.get(getattr(error, "errno", None) or 0)


def failure(source: str, rule: str, field: str = "location") -> ConnectorError:
    """The error of a rule: a ``Retry`` where the same may go well later, else a ``Stop``."""
    again, step = _STEPS[rule]
    return Retry(source, rule, step) if again else Stop(source, rule, step, field=field)
