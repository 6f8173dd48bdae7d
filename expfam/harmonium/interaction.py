"""Interactions: how the observable and the latent variables of a harmonium depend on each other.

Observations x may have missing cells (`families.observations.Incomplete`) and be labeled with the
number of their component (`Labeled`), in all kernels that are given one. Posteriors given
incomplete observations are points of the prior family.

A harmonium is a joint exponential family of x and z (Welling et al. 2005). It is conjugated when
the log-normalizer of its likelihood is linear in the latent statistic,

    ψ_X(θ_X + Θ_XZ s_Z(z)) = ⟨ρ, s_Z(z)⟩ + χ,

because then the prior lies in the latent family, with natural coordinates θ_Z + ρ, and
ψ(θ) = ψ_Z(θ_Z + ρ) + χ (Sokoloski & Berens, arXiv 2206.04841). An interaction knows ρ and χ, and
with them all kernels of the model. There are two: `harmonium.mixture.OneHotInteraction` and
`harmonium.linear.LinearInteraction`.
"""

from abc import abstractmethod
from typing import Any, final

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PyTree

from ..geometry.table import Kind, Table


@final
class HarmoniumCoords(eqx.Module):
    """Coordinates of a harmonium.

    Attributes:
        observable: those of the observable statistics, θ_X; `None` in a mixture in which all
            coordinates of the components differ.
        interaction: those of the products of statistics, Θ_XZ. In a mixture they are held for the
            indicator 1[z = k] of every component k, along a leading axis.
        latent: those of the latent statistics, θ_Z.
    """

    observable: Any
    interaction: Any
    latent: Any


@final
class LikelihoodCoords(eqx.Module):
    """Natural coordinates of a likelihood p(x | z): a harmonium's without the latent ones.

    Attributes:
        observable: θ_X.
        interaction: Θ_XZ.
    """

    observable: Any
    interaction: Any


class AbstractInteraction(eqx.Module):
    """A conjugated interaction. All methods are kernels: one data point, raw coordinates."""

    # Equinox makes a module of every bound method, which takes longer than many a method.
    __getattribute__ = object.__getattribute__

    @property
    @abstractmethod
    def observable(self) -> Any:
        """Family of x given z."""

    @property
    @abstractmethod
    def posterior_family(self) -> Any:
        """Family of z given x."""

    @property
    @abstractmethod
    def prior_family(self) -> Any:
        """Family of z; contains the posterior family."""

    @property
    @abstractmethod
    def spaces(self) -> HarmoniumCoords:
        """Spaces of the coordinates."""

    @property
    @abstractmethod
    def observed_support(self) -> Any:
        """Support of x."""

    @property
    @abstractmethod
    def n_labels(self) -> int:
        """How many components labels of rows can tell; 0 where there are none."""

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """How many parameters the law of x determines, at almost all points."""

    @property
    @abstractmethod
    def likelihood_spaces(self) -> LikelihoodCoords:
        """Spaces of the coordinates of the likelihood."""

    @abstractmethod
    def sufficient_statistic(self, x: Any, z: Any) -> HarmoniumCoords:
        """s(x, z)."""

    @abstractmethod
    def log_base_measure(self, x: Any, z: Any) -> Float[Array, ""]:
        """log μ(x, z)."""

    @abstractmethod
    def log_normalizer(self, coords: HarmoniumCoords, label: Any = None) -> Float[Array, ""]:
        """ψ(θ), or given the number of the component where that is not −1."""

    @abstractmethod
    def log_normalizer_given(self, coords: HarmoniumCoords, x: Any) -> Float[Array, ""]:
        """ψ(θ | x)."""

    @abstractmethod
    def log_evidence(self, coords: HarmoniumCoords, x: Any) -> Float[Array, ""]:
        """log p(x) without cancellation, with the derivatives of ψ(θ | x)."""

    @abstractmethod
    def likelihood(self, coords: HarmoniumCoords | LikelihoodCoords, z: Any) -> Any:
        """Natural coordinates of p(x | z) in the observable family."""

    @abstractmethod
    def posterior(self, coords: HarmoniumCoords, x: Any) -> Any:
        """Natural coordinates of p(z | x) in the posterior family."""

    @abstractmethod
    def log_weights(self, coords: HarmoniumCoords) -> Float[Array, " k"]:
        """log p(z = k) of the component number, where there is one."""

    @abstractmethod
    def log_assignments(self, coords: HarmoniumCoords, x: Any) -> Float[Array, " k"]:
        """log p(z = k | x) of the component number, where there is one."""

    @abstractmethod
    def impute(self, coords: HarmoniumCoords, x: Any) -> Any:
        """x with E[x | x_seen] in the cells that are missing; see `families.cells`."""

    @abstractmethod
    def draw_missing(self, key: Key[Array, ""], coords: HarmoniumCoords, x: Any) -> Any:
        """x with a draw from p(x | x_seen) in the cells that are missing."""

    @abstractmethod
    def conjugation(self, likelihood: LikelihoodCoords) -> tuple[Any, Float[Array, ""]]:
        """The conjugation parameters ρ, in the prior family, and χ."""

    @abstractmethod
    def split(self, coords: HarmoniumCoords) -> tuple[LikelihoodCoords, Any]:
        """Likelihood and prior."""

    @abstractmethod
    def join(self, likelihood: LikelihoodCoords, prior: Any) -> HarmoniumCoords:
        """The harmonium with a given likelihood and prior; nearest where the family is smaller."""

    @abstractmethod
    def maximize(self, means: HarmoniumCoords, start: HarmoniumCoords | None) -> HarmoniumCoords:
        """The M-step, θ = (∇ψ)⁻¹(η)."""

    @abstractmethod
    def translate(self, coords: HarmoniumCoords, offset: Any) -> HarmoniumCoords:
        """Add an offset to the natural coordinates of x, whatever z is."""

    @abstractmethod
    def reframe(self, target: Any, coords: HarmoniumCoords) -> tuple[HarmoniumCoords, Array]:
        """Natural coordinates under an interaction that differs in its frames.

        Returns:
            θ' and c, linear in θ, with ⟨θ, s(x, z)⟩ = ⟨θ', s'(x, z)⟩ + c; see `families.reframe`.
        """

    @abstractmethod
    def marginal(self, means: HarmoniumCoords) -> Any:
        """The mean coordinates of x alone: the adjoint of `translate`."""

    @abstractmethod
    def whiten(self, means: HarmoniumCoords) -> HarmoniumCoords:
        """The same distribution of x, with latent variables in standard form."""

    @abstractmethod
    def complete(self, means: HarmoniumCoords, mass: Array | float) -> HarmoniumCoords:
        """Fill in what packing leaves out because the rest, and E[1] = mass, determine it."""

    @abstractmethod
    def entropy(self, coords: HarmoniumCoords) -> Float[Array, ""]:
        """Entropy of (x, z)."""

    @abstractmethod
    def in_domain(self, coords: HarmoniumCoords) -> Bool[Array, ""]:
        """Whether ψ(θ) is finite."""

    @abstractmethod
    def features(self, x: Any) -> Float[Array, " features"]:
        """x as a vector."""

    @abstractmethod
    def initialize(self, key: Key[Array, ""]) -> HarmoniumCoords:
        """A random point."""

    @abstractmethod
    def sketch(self, rng: np.random.Generator, table: Table, kind: Kind) -> Any:
        """What decides where a fit starts, found on the host from a table of features."""

    @abstractmethod
    def initialize_from_sample(
        self,
        sketch: Any,
        xs: Any,
        features: Float[Array, "n features"],
        weights: Float[Array, " n"],
    ) -> HarmoniumCoords:
        """A point to start a fit from."""

    @abstractmethod
    def compress(self, xs: Any, weights: Any) -> tuple[Any, Any, Any]:
        """Fewer weighted rows that have the same ∇ψ(θ | x) on average for all θ, if there are.

        They are data of the observable that comes with them, which may have another origin.
        """

    @abstractmethod
    def weak_means(self, xs: Any) -> HarmoniumCoords:
        """Mean coordinates of rows of the scale of the data, in which x tells nothing of z."""

    @abstractmethod
    def to_unconstrained(self, coords: HarmoniumCoords) -> PyTree[Array]:
        """Free parameters."""

    @abstractmethod
    def from_unconstrained(self, free: PyTree[Array]) -> HarmoniumCoords:
        """The point with the given free parameters."""
