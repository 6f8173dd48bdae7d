"""Fitting: one loop, two methods, one result."""
