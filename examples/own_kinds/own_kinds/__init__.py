"""Kinds of our own for neurosearch."""
