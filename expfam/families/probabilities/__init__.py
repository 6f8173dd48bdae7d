"""Families of probabilities."""
