"""The keys of a workspace as somebody looks after them: what is in use, and every change."""
