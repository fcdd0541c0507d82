"""Syncs and resolves that begin by themselves: when, who has them, how they ended."""
