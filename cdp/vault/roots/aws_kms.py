"""The root encrypted by a key of AWS KMS, which never leaves it.

The encryption context names workspace and root version: KMS binds it as associated data,
writes it into CloudTrail, and a key policy can ask for it (``kms:EncryptionContext:``).
Needs ``boto3`` (the extra ``aws``), credentials in one of the ways that boto3 itself
reads, and the rights kms:Encrypt and kms:Decrypt. A root is asked for once a process.
"""

from typing import Any, Final

from cdp.errors import KithError
from cdp.vault.errors import RootNeeds, RootRefused, RootUnreachable
from cdp.vault.roots import local
from cdp.vault.roots.provider import Held, RootPlace
from cdp.vault.secret import Secret

_PATIENCE: Final = 5  # seconds to connect, and to read
_ATTEMPTS: Final = 2
# What KMS says when the blob, its key or its context is not the right one.
_MISPLACED: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
# Errors of boto3 that lack an account or a region: NoCredentialsError, SSOTokenLoadError ...
_OF_ACCOUNT: Final = ("Credential", "Login", "Profile", "Region", "SSO", "Token")
# What may be otherwise in a moment.
_PASSING: Final = frozenset(
    {
        "DependencyTimeoutException",
        "KMSInternalException",
        "InternalFailure",
        "LimitExceededException",
        "RequestTimeout",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "ThrottlingException",
    }
)
_REFUSED_STEP: Final = (
    "let this account encrypt and decrypt with the key, see that the key is enabled and not "
    "being deleted, and try again"
)


class AwsKmsRoot:
    """Who has the ring file must be allowed to decrypt with the KMS key too.

    Args:
        key: ARN, id or alias of the key that encrypts; the ring keeps the ARN to decrypt.
        endpoint: another address of KMS, such as a VPC endpoint.
    """

    __slots__ = ("_endpoint", "_key")
    name: Final = "aws-kms"
    needs: Final = "boto3, AWS credentials, and CDP_KMS_KEY to seal"

    def __init__(self, key: str | None, endpoint: str | None = None) -> None:
        self._key = key
        self._endpoint = endpoint

    def wrap(self, root: Secret, place: RootPlace) -> Held:
        """Have KMS encrypt ``root``."""
        if self._key is None:
            raise RootNeeds(
                "CDP_KMS_KEY is not set", "set it to the ARN of the KMS key", provider=self.name
            )
        answer = self._asked("encrypt", self._key, place, root)
        blob = local.text_of(answer["CiphertextBlob"])
        return {"key": str(answer["KeyId"]), "sealed": blob}

    def unwrap(self, held: Held, place: RootPlace) -> Secret:
        """Have KMS decrypt the root."""
        key, blob = held["key"], Secret(local.bytes_of(held["sealed"]))
        if not isinstance(key, str) or not key:
            raise ValueError("no key is named")
        return Secret(self._asked("decrypt", key, place, blob)["Plaintext"])

    def _asked(self, what: str, key: str, place: RootPlace, content: Secret) -> dict[str, Any]:
        answer = self._call(what, key, place, content)
        if isinstance(answer, KithError):
            raise answer.at(provider=self.name, key=key)
        return answer

    def _call(
        self, what: str, key: str, place: RootPlace, content: Secret
    ) -> dict[str, Any] | KithError:
        # Errors are returned, because one raised here would carry frames that hold the root.
        try:
            # Here, not above: who keeps the root elsewhere does not need the library.
            from boto3.session import Session  # noqa: PLC0415
            from botocore.config import Config  # noqa: PLC0415
            from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
        except ImportError:
            return RootNeeds("boto3 is not installed", "run: pip install 'kith[aws]'")
        settings = Config(
            connect_timeout=_PATIENCE,
            read_timeout=_PATIENCE,
            retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
        )
        context = {
            "kith:workspace": str(place.workspace),
            "kith:root-version": str(place.version),
        }
        parts = ("Plaintext", "CiphertextBlob")
        sent, wanted = parts if what == "encrypt" else reversed(parts)
        try:
            client = Session(region_name=_region(key)).client(
                "kms", endpoint_url=self._endpoint, config=settings
            )
            answer: dict[str, Any] = getattr(client, what)(
                KeyId=key, EncryptionContext=context, **{sent: content.expose()}
            )
        except ClientError as error:
            return _answered(str(error.response.get("Error", {}).get("Code", "unknown")), place)
        except (BotoCoreError, ValueError) as error:
            return _unanswered(type(error).__name__)
        return answer if wanted in answer else _unanswered("something else did")

    def __repr__(self) -> str:
        return "<root in AWS KMS>"


def _answered(code: str, place: RootPlace) -> KithError:
    """KMS said no; only the code of its answer is shown."""
    if code in _MISPLACED:
        return local.misplaced(place, AwsKmsRoot.name)
    if code in _PASSING:
        return RootUnreachable(f"KMS is busy ({code})", "try again in a moment")
    if code.isdecimal():  # an HTTP status alone is not from KMS, but from something on the way
        return _unanswered(f"status {code}")
    return RootRefused(f"KMS refuses ({code})", _REFUSED_STEP)


def _unanswered(kind: str) -> KithError:
    """There was no answer of KMS; only the kind of error is shown."""
    if any(word in kind for word in _OF_ACCOUNT):
        return RootNeeds(
            f"boto3 has no account or region to ask KMS with ({kind})",
            "give credentials as boto3 reads them, and name the key by its ARN",
        )
    return RootUnreachable(
        f"KMS does not answer ({kind})",
        "see that the network and CDP_KMS_ENDPOINT lead to KMS, and try again",
    )


def _region(key: str) -> str | None:
    """The region that an ARN names; else boto3 finds one itself."""
    parts = key.split(":")
    return parts[3] or None if parts[0] == "arn" and len(parts) > 3 else None
