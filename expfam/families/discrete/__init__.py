"""Families of outcomes that can be counted: categories, trials, counts, binary vectors."""
