"""Posteriors of models: densities for samplers, and samplers of partitions."""
