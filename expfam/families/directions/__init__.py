"""Families of directions."""
