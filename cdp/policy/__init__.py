"""Versions of the policy: kept, signed, changed by two persons, and followed by every process."""
