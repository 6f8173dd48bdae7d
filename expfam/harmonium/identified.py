"""How many parameters of a linear Gaussian model the law of x determines.

With posterior precisions Q_k of y and Θ = Ψ⁻¹W, component k of x has the precision
Ψ⁻¹ − ΘQ_k⁻¹Θᵀ. It stays as it is

- when y is moved, and when y is mapped by a matrix that keeps the structure of all Q_k;
- where Ψ is any matrix, when a part M common to all Q_k⁻¹ goes over to it, if that keeps the
  structure.

What is counted holds at all points but those of a set of measure zero. In factor analysis it is
p·d + p + p − d(d − 1)/2, and at most p + p(p + 1)/2 (Drton, Sturmfels & Sullivant 2007, theorem 2).
"""

from typing import Any, NamedTuple, final

from ..families.real.normal import Normal
from ..geometry.structures import AbstractStructure, Diagonal, Identity, PositiveDefinite
from .latent import location
from .mixture import Mixture


@final
class _Law(NamedTuple):
    # Of y given x: number of components, the structure of their precisions, that of the differences
    # of these (`None` where there are none), and the dimension of y.
    n_components: int
    structure: AbstractStructure
    differences: AbstractStructure | None
    size: int


def n_identified(noise: AbstractStructure, size: int, family: Any) -> int:
    """The number of identified parameters of a linear Gaussian model.

    Args:
        noise: covariance structure of Ψ.
        size: number p of columns of x.
        family: of the latent variables given x.
    """
    law = _law(family)
    full = _dim(PositiveDefinite(), size)
    weights = law.n_components - 1
    absorbing = noise == PositiveDefinite()
    if absorbing and law.differences is None:
        # One covariance, of any kind, and means in a space of d dimensions.
        rank = min(weights, law.size)
        return weights + full + size + rank * (size + weights - rank)
    moves = law.size + _frames(law) + (_absorbed(law) if absorbing else 0)
    free = size * law.size + size + _dim(noise, size) + family.n_parameters - moves
    covariances = full if law.differences is None else law.n_components * full
    return min(free, weights + law.n_components * size + covariances)


def _law(family: Any) -> _Law:
    if isinstance(family, Normal):
        return _Law(1, family.structure, None, family.size)
    if not isinstance(family, Mixture):
        # y is the observable of a harmonium, which has full covariance
        own = location(family)
        count = _law(family.posterior_family).n_components
        return _Law(count, own.structure, own.structure if count > 1 else None, own.size)
    inner = _law(family.component)
    own = inner.structure if family.varying is None else family.varying
    count = family.n_components * inner.n_components
    return _Law(
        count, inner.structure, None if own == Identity() or count == 1 else own, inner.size
    )


def _frames(law: _Law) -> int:
    # Dimension of the group of matrices A for which AQ_kAᵀ keeps the structure for all k.
    turns = law.size * (law.size - 1) // 2
    if law.differences is None:
        return _keeping(law.structure, law.size) + (turns if law.structure == Diagonal() else 0)
    # Two matrices of which the difference is diagonal have a whole group of such frames.
    pair = law.differences == Diagonal() != law.structure and law.n_components == 2
    return _keeping(law.differences, law.size) + (turns if pair else 0)


def _keeping(structure: AbstractStructure, size: int) -> int:
    # Of A for which ADAᵀ has a structure for all D that have it.
    turns = size * (size - 1) // 2
    if structure == PositiveDefinite():
        return size * size
    return size if structure == Diagonal() else turns + _dim(structure, size)


def _absorbed(law: _Law) -> int:
    # Dimension of the M that can go over to the noise.
    assert law.differences is not None
    turns = law.size * (law.size - 1) // 2
    few = law.n_components <= (3 if law.differences == Diagonal() else 2)
    own = _dim(law.structure if few else law.differences, law.size)
    pair = law.structure == Diagonal() and law.n_components == 2
    return own + (turns if pair else 0)


def _dim(structure: AbstractStructure, size: int) -> int:
    space = structure.space(size)
    return 0 if space is None else space.dim
