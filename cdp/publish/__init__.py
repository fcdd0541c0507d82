"""Send profiles to declared destinations: what the contract allows, in order, once in effect."""
