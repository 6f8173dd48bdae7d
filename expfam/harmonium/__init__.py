"""Latent-variable models: mixtures, linear Gaussian models, hierarchies."""
