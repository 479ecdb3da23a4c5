"""Lets `python -m neurosearch` do what the command `neurosearch` does."""

from neurosearch.cli import main

main()
