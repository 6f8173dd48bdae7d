"""Conjugate priors: pseudo-statistics and a pseudo-count."""
