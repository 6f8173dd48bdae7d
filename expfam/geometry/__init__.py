"""Charts, points, vector spaces, covariance structures and convex duality; no probability."""
