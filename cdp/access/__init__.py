"""Who may see what, and the one road out for personal data."""
