"""Families of the pairs of parameters that normals and linear models have."""
