"""Seal what names a person, and key what must be found again; pure, no database, no HTTP."""
