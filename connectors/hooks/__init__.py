"""Webhooks that other systems send here: how they are signed, and the rows in them."""
