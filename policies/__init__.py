"""Who may see what; a leaf that knows no other package."""
