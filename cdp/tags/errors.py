"""What can go wrong with tag rules."""

from cdp.errors import Stop


class RulesWrong(Stop):
    """A rule file does not say what it must; ``at`` is the path inside it."""
