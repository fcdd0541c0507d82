"""Read from sources and write to destinations; a leaf that knows no other package."""
