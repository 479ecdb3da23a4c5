"""Distributed hyperparameter search for networks whose number of neurons changes while they train."""

__version__ = "0.1.0"
