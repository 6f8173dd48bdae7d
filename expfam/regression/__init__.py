"""Families of responses given covariates, and what is made of them."""
