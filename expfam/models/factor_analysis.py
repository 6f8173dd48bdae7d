"""Factor analysis, probabilistic principal components, and mixtures of factor analyzers."""

from ..geometry.structures import AbstractStructure, Diagonal, Scale
from ..harmonium.linear_gaussian import LinearGaussian
from ..harmonium.mixture import Mixture


def factor_analysis(obs_dim: int, lat_dim: int) -> LinearGaussian:
    """Factor analysis: x = W y + b + noise, where every column has its own noise variance.

    Args:
        obs_dim: number of columns p.
        lat_dim: number of factors d.

    Returns:
        A `LinearGaussian` with `Diagonal` noise. EM: Rubin & Thayer 1982.
    """
    return LinearGaussian(obs_dim, Diagonal(), lat_dim)


def probabilistic_pca(obs_dim: int, lat_dim: int) -> LinearGaussian:
    """Probabilistic principal component analysis: x = W y + b + noise of one variance.

    The maximum likelihood has the span of the leading principal components (Tipping & Bishop 1999).

    Args:
        obs_dim: number of columns p.
        lat_dim: number of components d.

    Returns:
        A `LinearGaussian` with `Scale` noise.
    """
    return LinearGaussian(obs_dim, Scale(), lat_dim)


def mixture_of_factor_analyzers(
    obs_dim: int, lat_dim: int, n_components: int, obs_rep: AbstractStructure | None = None
) -> Mixture:
    """A mixture of factor analyzers: every component has its own loadings, mean and noise.

    Args:
        obs_dim: number of columns p.
        lat_dim: number of factors d of every component.
        n_components: number of components K.
        obs_rep: covariance structure of the noise; `Diagonal()` where not given.

    Returns:
        A `Mixture` of `LinearGaussian`. EM: Ghahramani & Hinton 1996.
    """
    noise = Diagonal() if obs_rep is None else obs_rep
    return Mixture(LinearGaussian(obs_dim, noise, lat_dim), n_components)
