"""Messages of other tools, a line each, read as a feed."""
