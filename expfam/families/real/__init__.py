"""Families of real numbers and vectors."""
