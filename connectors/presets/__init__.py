"""Declarations of sources that many retailers have, ready to be filled in."""
