"""Families made of others: push-forwards, sub-families, two-sided ones, under their usual names."""
