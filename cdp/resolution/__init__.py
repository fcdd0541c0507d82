"""Where identity's answers meet the database: load features, resolve, store people."""
