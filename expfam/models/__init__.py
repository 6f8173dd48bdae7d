"""Named models, assembled from harmoniums."""
