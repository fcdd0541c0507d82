"""The platform: every rule of the house lives here."""
