"""Profiles: what the records of one person say together, and how to read it."""
