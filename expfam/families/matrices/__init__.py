"""Families of matrices."""
