"""The providers of the root, one module each."""
