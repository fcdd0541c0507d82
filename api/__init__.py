"""HTTP at the edge: JSON for systems."""
