"""Exponential families: what all of them do, and a folder for each kind of data."""
