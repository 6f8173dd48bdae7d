"""Conjugate priors in the form of Diaconis & Ylvisaker: pseudo-statistics and a pseudo-count."""

from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Key

from ..families.base import AbstractExponentialFamily, Data
from ..families.compiled import dtype_of
from ..families.conversion import Numbers
from ..families.support import check_data, check_rows, check_weights
from ..geometry.checks import require
from ..geometry.points import Mean, Natural, pairing
from . import compiled
from .base import AbstractPrior
from .compiled import conjugacy_of, from_means, raw, to_means


@final
class ConjugatePrior(AbstractPrior):
    """A conjugate prior of an exponential family, as a number of imagined observations.

    Mathematically, its density is exp(⟨φ, θ⟩ − ν ψ(θ))/Z(φ, ν), against Lebesgue measure of natural
    coordinates (packed as `flatten` packs them), with pseudo-statistics φ and a pseudo-count ν
    (Diaconis & Ylvisaker 1979). After n observations it has φ + Σ s(x) and ν + n. It is an
    exponential family itself, with the statistic (θ, −ψ(θ)). With ν > 0 and φ/ν inside the set of
    possible expectations, φ/ν is both the mode, in mean coordinates, and the expectation of the
    mean coordinates (where the domain is open: of `InverseGaussian` it is not).

    Make one with `from_mean` or `from_hyperparameters`. Every family has `observe`, `mode`, the
    arithmetic of priors, and fits with `prior=`; for latent-variable models the imagined
    observations are complete. What needs Z (densities, evidence, predictive distributions,
    sampling, divergences) is there for families of which the normalizer is known in closed form or
    as one integral; the reference lists them family by family.

    Attributes:
        family: what it is a prior of.
        total: φ, the sum of the statistics of the imagined observations.
        count: ν, their number; for normals with a free covariance also a pair, of observations of
            the location and of the scale.

    References:
        Diaconis & Ylvisaker, Conjugate priors for exponential families (1979).

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> prior = ef.ConjugatePrior.from_hyperparameters(ef.Bernoulli(), alpha=1.0, beta=1.0)
        >>> posterior = prior.observe(jnp.array([1, 1, 0, 1]))
        >>> round(float(jnp.exp(posterior.log_predictive(jnp.array(1)))), 4)  # (1 + 3)/(2 + 4)
        0.6667
    """

    family: AbstractExponentialFamily
    total: Mean[Any]
    count: Float[Array, "*counts"] = eqx.field(converter=lambda count: jnp.asarray(count, float))

    def __check_init__(self) -> None:
        """Refuse what is no family, totals of another family, and counts of another shape."""
        if not isinstance(self.family, AbstractExponentialFamily):
            raise TypeError(
                "ConjugatePrior: `family` must be a family or a model, but is of type "
                f"{type(self.family).__name__}."
            )
        self.family._check_point(self.total, Mean, "ConjugatePrior", "total")
        _check_count(self.family, self.count)

    # ---------------------------------------------------------------- constructors

    @staticmethod
    def from_mean(
        family: AbstractExponentialFamily, mean: Mean[Any], count: Float[Array, "*counts"] | float
    ) -> "ConjugatePrior":
        """The prior of a number of imagined observations with a given average statistic.

        Args:
            family: a family or a model.
            mean: η₀, the average statistic: a guess of the mean coordinates.
            count: ν, any number. For a normal with a free covariance, two numbers stand for so many
                observations of its mean, and of its covariance.

        Raises:
            TypeError: where `mean` is not in mean coordinates.
            ValueError: where `mean` is of another family, or `count` of another shape.
        """
        if not isinstance(family, AbstractExponentialFamily):
            raise TypeError(
                "ConjugatePrior.from_mean: `family` must be a family or a model, but is of type "
                f"{type(family).__name__}."
            )
        family._check_point(mean, Mean, "ConjugatePrior", "mean")
        number = jnp.asarray(count, float)
        _check_count(family, number)
        return ConjugatePrior(family, Mean(from_means(family, mean.coords, number)), number)

    @staticmethod
    def from_hyperparameters(
        family: AbstractExponentialFamily, **values: Array | float
    ) -> "ConjugatePrior":
        """The prior with the usual hyper-parameters of its name.

        | families | prior | hyper-parameters |
        | --- | --- | --- |
        | Bernoulli, Binomial, Geometric, NegativeBinomial | beta of p | `alpha`, `beta` |
        | Categorical, Multinomial | Dirichlet | `concentration` |
        | Poisson, Exponential | gamma of λ | `shape`, `rate` |
        | Normal with `Identity` | normal of μ | `mean`, `precision` |
        | Normal | normal–inverse-Wishart | `mean`, `count`, `scale`, `freedom` |
        | KnownMeanNormal | inverse Wishart of Σ | `scale`, `freedom` |
        | KnownCovarianceNormal | normal of μ | `mean`, `count` |

        For a normal with covariance Σ, given which μ has the covariance Σ/count, Σ is
        inverse-Wishart. With `Diagonal` each variance is inverse gamma with shape freedom/2 and
        scale `scale`/2, a vector of them; with `Scale` the one variance is, `scale` being a number.
        A `PushForward`, `Symmetrized`, or family made by them has the prior of its base: that of a
        `LogNormal` is named after a normal's, of a `Weibull` after an exponential's.

        Args:
            family: a family of this table.
            **values: the hyper-parameters, by name.

        Raises:
            TypeError: another family, or hyper-parameters of other names.
            ValueError: a hyper-parameter of another shape, or out of range.
        """
        owner = "ConjugatePrior.from_hyperparameters"
        _check_normalized(family, "from_hyperparameters")
        conjugacy = conjugacy_of(family)
        shapes = conjugacy.shapes(family)
        if not shapes:
            raise TypeError(
                f"{owner}: conjugate priors of {family!r} have no name of their own, hence no "
                "usual hyper-parameters; use ConjugatePrior.from_mean."
            )
        if values.keys() != shapes.keys():
            raise TypeError(
                f"{owner}: the prior of {family!r} has the hyper-parameters {', '.join(shapes)}, "
                f"but got {', '.join(values) or 'none'}."
            )
        for name, shape in shapes.items():
            if jnp.shape(values[name]) != shape:
                raise ValueError(
                    f"{owner}: `{name}` must have shape {shape}, but has shape "
                    f"{jnp.shape(values[name])}."
                )
        arrays = {name: jnp.asarray(value, float) for name, value in values.items()}
        total, count = conjugacy.from_hyperparameters(family, arrays)
        prior = ConjugatePrior(family, Mean(total), count)
        prior = _require_proper(prior, prior, compiled.conditions(prior), "from_hyperparameters")
        return require(
            prior,
            compiled.holds(prior, arrays),
            f"{owner}: the statistics of the prior, of type {dtype_of(total)}, do not hold these "
            "hyper-parameters: its mean is too far from the origin for its scale. Move the data "
            "towards the origin, or use float64.",
        )

    # ---------------------------------------------------------------- arithmetic

    def observe(self, xs: Data, weights: Numbers | None = None) -> "ConjugatePrior":
        """The posterior after rows of complete data.

        Args:
            xs: rows, with one leading axis n.
            weights: n numbers, not negative: how often each row counts; once where not given.
        """
        xs, n = check_rows(xs, self.family.support, "ConjugatePrior.observe")
        checked = check_weights(weights, n, float, "ConjugatePrior.observe")
        total, count = compiled.observe(self, xs, checked)
        return ConjugatePrior(self.family, Mean(total), count)

    def observe_average(self, mean: Mean[Any], count: Float[Array, ""] | float) -> "ConjugatePrior":
        """The posterior after `count` observations with a given average statistic."""
        self.family._check_point(mean, Mean, "ConjugatePrior.observe_average", "mean")
        return ConjugatePrior(self.family, self.total + mean * count, self.count + count)

    def merge(self, other: "ConjugatePrior") -> "ConjugatePrior":
        """The imagined observations of both together: the product of the two densities."""
        _check_same(self, other, "merge")
        return ConjugatePrior(self.family, self.total + other.total, self.count + other.count)

    def remove(self, other: "ConjugatePrior") -> "ConjugatePrior":
        """Without the imagined observations of the other: the quotient of the two densities.

        Posteriors of two shards of data make that of all by `one.merge(two).remove(prior)`.
        """
        _check_same(self, other, "remove")
        return ConjugatePrior(self.family, self.total - other.total, self.count - other.count)

    def temper(self, power: Float[Array, ""] | float) -> "ConjugatePrior":
        """The density to a power: every imagined observation counts `power` times."""
        return ConjugatePrior(self.family, self.total * power, self.count * power)

    def forget(
        self, rate: Float[Array, ""] | float, base: "ConjugatePrior | None" = None
    ) -> "ConjugatePrior":
        """Forget a share of the imagined observations, e.g. between batches of drifting data.

        Args:
            rate: the share, from 0 to 1.
            base: what is fallen back on: it is taken up with the share that is forgotten.
        """
        kept = self.temper(1 - rate)
        return kept if base is None else kept.merge(base.temper(rate))

    # ---------------------------------------------------------------- points

    @property
    def mean(self) -> Mean[Any]:
        """φ/ν: the mode in mean coordinates; with one count, also the expectation of these."""
        return Mean(to_means(self.family, *raw(self)))

    def mode(self) -> Natural[Any]:
        """The point with the highest density, in natural coordinates: a MAP estimate.

        It needs no normalizer, so that every family has it.

        Raises:
            ValueError: where the count is not positive, or the mean is not inside the set of
                possible expectations (RuntimeError under `jit`).
        """
        mean = require(
            self.mean,
            jnp.all(self.count > 0),
            lambda: (
                "ConjugatePrior.mode: `count` must be positive for a mode to exist, but is "
                f"{self.count}."
            ),
        )
        return self.family._to_natural(mean, "mode (of its conjugate prior)")

    def expected_natural(self) -> Natural[Any]:
        """E[θ], the expectation of the natural coordinates."""
        _check_normalized(self.family, "expected_natural")
        natural, _, conditions = compiled.expectations(self)
        return _require_proper(Natural(natural), self, conditions, "expected_natural")

    def expected_log_normalizer(self) -> Float[Array, ""]:
        """E[ψ(θ)], the expectation of the log-normalizer of the family.

        ⟨E[θ], s(x)⟩ − E[ψ(θ)] is the expected log-density of x up to log μ(x), as variational Bayes
        needs it.
        """
        _check_normalized(self.family, "expected_log_normalizer")
        _, value, conditions = compiled.expectations(self)
        return _require_proper(value, self, conditions, "expected_log_normalizer")

    def sample(self, key: Key[Array, ""], shape: tuple[int, ...] = ()) -> Natural[Any]:
        """Draw points θ; the leaves of the result have leading axes `shape`.

        Args:
            key: JAX random key.
            shape: leading axes.
        """
        _check_normalized(self.family, "sample")
        coords, conditions = compiled.sample(self, tuple(shape), False, key)
        return _require_proper(Natural(coords), self, conditions, "sample")

    # ---------------------------------------------------------------- normalized quantities

    def log_normalizer(self) -> Float[Array, ""]:
        """log Z(φ, ν) = log ∫ exp(⟨φ, θ⟩ − ν ψ(θ)) dθ."""
        return self._evaluate("log_normalizer")

    def log_density(self, params: Natural[Any]) -> Float[Array, ""]:
        """The log-density of one point θ, against Lebesgue measure of packed coordinates."""
        self.family._check_point(params, Natural, "ConjugatePrior.log_density", "params")
        return self._evaluate("log_density", params.coords)

    def entropy(self) -> Float[Array, ""]:
        """−E log p(θ)."""
        return self._evaluate("entropy")

    def kl_divergence(self, other: "ConjugatePrior") -> Float[Array, ""]:
        """KL(self ‖ other), of two priors of one family."""
        _check_same(self, other, "kl_divergence")
        _check_normalized(self.family, "kl_divergence")
        value, conditions = compiled.divergence(self, other)
        return _require_proper(value, self, conditions, "kl_divergence")

    def log_evidence(self, xs: Data, weights: Numbers | None = None) -> Float[Array, ""]:
        """log ∫ Π_i p(x_i; θ) p(θ) dθ of rows of data: their marginal likelihood.

        Args:
            xs: rows, with one leading axis n.
            weights: n numbers, not negative: how often each row counts; once where not given.
        """
        xs, n = check_rows(xs, self.family.support, "ConjugatePrior.log_evidence")
        checked = check_weights(weights, n, float, "ConjugatePrior.log_evidence")
        _check_normalized(self.family, "log_evidence")
        value, conditions = compiled.log_evidence(self, xs, checked)
        return _require_proper(value, self, conditions, "log_evidence")

    def log_predictive(self, x: Data) -> Float[Array, "*batch"]:
        """The log-density log ∫ p(x; θ) p(θ) dθ of each data point.

        It is that of a beta-binomial, Dirichlet-multinomial, negative binomial (Poisson),
        beta-negative-binomial, Lomax (exponential) or multivariate t distribution (normal), where
        the prior has a name.

        Args:
            x: data points, structured like the support of the family, with any leading axes.
        """
        x, batch = check_data(x, self.family.support, "ConjugatePrior.log_predictive", "x")
        _check_normalized(self.family, "log_predictive")
        value, conditions = compiled.log_predictive(self, len(batch), x)
        return _require_proper(value, self, conditions, "log_predictive")

    def sample_predictive(self, key: Key[Array, ""], shape: tuple[int, ...] = ()) -> Data:
        """Draw data points, each with a θ of its own.

        Args:
            key: JAX random key.
            shape: leading axes of the result.
        """
        _check_normalized(self.family, "sample_predictive")
        xs, conditions = compiled.sample(self, tuple(shape), True, key)
        return _require_proper(xs, self, conditions, "sample_predictive")

    # ---------------------------------------------------------------- names

    def hyperparameters(self) -> dict[str, Array]:
        """The usual hyper-parameters of the prior, by the names in `from_hyperparameters`.

        Raises:
            TypeError: where the prior has no name of its own.
        """
        _check_normalized(self.family, "hyperparameters")
        found = conjugacy_of(self.family).hyperparameters(self.family, *raw(self))
        if not found:
            raise TypeError(
                "ConjugatePrior.hyperparameters: conjugate priors of "
                f"{self.family!r} have no name of their own; read `total`, `count` and `mean`."
            )
        return found

    def distribution(self) -> tuple[AbstractExponentialFamily, Natural[Any]]:
        """The family that the prior is named after, and the prior as a point of it.

        It is a distribution of the usual parameter: a beta of the probability, a Dirichlet of the
        probabilities, a gamma of the rate, a normal of the mean, an inverse Wishart of the
        covariance, a normal–inverse-Wishart of both, a normal–inverse-gamma of every mean and
        variance.

        Raises:
            TypeError: where the library has no such family.
        """
        _check_normalized(self.family, "distribution")
        found = conjugacy_of(self.family).distribution(self.family, *raw(self))
        if found is None:
            raise TypeError(
                f"ConjugatePrior.distribution: the conjugate prior of {self.family!r} is no family "
                "of the library; its own methods are densities, sampling, entropy and divergences."
            )
        return found[0], Natural(found[1])

    # ---------------------------------------------------------------- kernels

    def _evaluate(self, name: str, *args: Any) -> Array:
        _check_normalized(self.family, name)
        value, conditions = compiled.evaluate(self, name, *args)
        return _require_proper(value, self, conditions, name)

    def in_frame_of(self, target: Any, change: Callable[..., Any]) -> "ConjugatePrior":
        """The same prior of a family that differs in its frames."""
        mass = self.count if self.count.ndim == 0 else self.count[0]
        total = change(self.family, target, self.total.coords, mass)
        return ConjugatePrior(target, Mean(total), self.count)

    def at_start(self) -> "ConjugatePrior":
        """Itself."""
        return self

    def _average(self, means: Any, count: Array | int) -> Any:
        # (φ + n η̂)/(ν + n) of raw mean coordinates
        total = jax.tree.map(
            lambda own, other: own.astype(other.dtype) + other * count, self.total.coords, means
        )
        after = self.count + count
        averages = to_means(self.family, total, after.astype(dtype_of(means)))
        return jax.tree.map(lambda new, old: new.astype(old.dtype), averages, means)

    def _log_density(self, natural: Any, log_normalizer: Array) -> Array:
        # ⟨φ, θ⟩ − ν ψ(θ) of raw natural coordinates: the logarithm up to a constant
        value = pairing(natural, self.total.coords)
        if self.count.ndim == 0:
            return value - self.count * log_normalizer
        return value - jnp.dot(self.count, conjugacy_of(self.family).normalizers(natural))


def check_prior(family: AbstractExponentialFamily, prior: Any, method: str) -> None:
    """Refuse a prior that is not a conjugate prior of a family.

    Raises:
        TypeError: another type.
        ValueError: a prior of another family.
    """
    if prior is None:
        return
    if not isinstance(prior, AbstractPrior):
        raise TypeError(
            f"{type(family).__name__}.{method}: `prior` must be an expfam.ConjugatePrior, or of a "
            f"mixture an expfam.MixturePrior, but is of type {type(prior).__name__}."
        )
    if jax.tree.structure(prior.family) != jax.tree.structure(family):
        raise ValueError(
            f"{type(family).__name__}.{method}: `prior` must be one of {family!r}, but is one of "
            f"{prior.family!r}."
        )


def _check_normalized(family: Any, method: str) -> None:
    if conjugacy_of(family) is None:
        raise TypeError(
            f"ConjugatePrior.{method}: the normalizer of conjugate priors of {family!r} is not "
            "known. What needs none works: mode, mean, observe, merge, remove, temper, forget, and "
            "fits with prior=."
        )


def _check_count(family: Any, count: Array) -> None:
    limit = getattr(conjugacy_of(family), "n_counts", 1)
    if count.shape not in ((), (2,))[:limit]:
        raise ValueError(
            "ConjugatePrior: `count` must be a number"
            + (", or a pair for location and scale" if limit == 2 else "")
            + f", but has shape {count.shape}."
        )


def _check_same(prior: ConjugatePrior, other: Any, method: str) -> None:
    if not isinstance(other, ConjugatePrior):
        raise TypeError(
            f"ConjugatePrior.{method}: `other` must be an expfam.ConjugatePrior, but is of type "
            f"{type(other).__name__}."
        )
    check_prior(prior.family, other, f"{method} (of its conjugate priors)")


def _require_proper(values: Any, prior: ConjugatePrior, conditions: Any, method: str) -> Any:
    proper = jnp.all(jnp.stack(list(conditions.values())))

    def message() -> str:
        known = not isinstance(proper, Tracer)
        failing = [text for text, holds in conditions.items() if known and not holds]
        lacks = f"does not have {', nor '.join(failing)}" if failing else "is not"
        return (
            f"ConjugatePrior.{method}: the prior of {prior.family!r} must be proper, but {lacks}. "
            "A prior is proper where its count is positive and its mean, φ/ν, lies inside the "
            "set of possible expectations (not on its boundary); observe data first, or use "
            "ConjugatePrior.from_mean with such a mean."
        )

    return require(values, proper, message)
