"""What can be wrong with a stored policy, sorted by what to do next."""

from cdp.errors import Stop


class PolicyUnusable(Stop):
    """What is offered as a policy is empty, unparsable, contradictory or too large."""


class PolicyUntrusted(Stop):
    """What is stored as the policy in force is not what two persons put in force."""


class NoSuchVersion(Stop):
    """No version, or more than one, has an id that begins like this."""
