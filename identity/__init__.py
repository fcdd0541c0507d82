"""Decide which records are one person, on keyed features only."""
