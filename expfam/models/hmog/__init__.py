"""Hierarchical mixtures of Gaussians, p(x, y, z) = p(z) p(y | z) p(x | y), in three variants."""
