"""From a source's rows to sealed records: validate, normalise, key, seal, store."""
