"""Fitting: one loop around methods that advance from averages over rows, and one result."""
