"""The contract of a family: what its mathematics has to supply.

Kernels are private, for one data point, on raw coordinates, without checks. All that is public
follows from them, in `AbstractExponentialFamily`.
"""

from abc import abstractmethod
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PyTree

from ..geometry.bound import BoundMethod
from ..geometry.grouping import AbstractGrouping
from ..geometry.manifold import Layout, chart_name, layout_of, remembered
from ..geometry.points import AbstractPoint, Mean, Natural
from ..geometry.spaces import Chart, is_space, pack, unpack
from ..geometry.table import Kind, Table
from .cells import AbstractCells

C = TypeVar("C")
Data = Any  # an array, or a tuple of data, structured like the family's `support`


class AbstractKernels(eqx.Module, Generic[C]):
    """A manifold with dual affine charts, and the kernels of the distributions on it.

    Coordinates are structured like `spaces`.

    Attributes:
        readers: the methods that read a point in the usual parameters, which `print` shows.
    """

    readers: ClassVar[tuple[Callable[..., Any], ...]] = ()

    if not TYPE_CHECKING:

        def __getattribute__(self, name: str) -> Any:
            """Look up an attribute; public methods are trees, as manifolds are."""
            value = object.__getattribute__(self, name)
            if isinstance(value, MethodType) and not name.startswith("_"):
                return BoundMethod(value)
            return value

    @property
    @abstractmethod
    def spaces(self) -> C:
        """A PyTree like the coordinates, with an `AbstractSpace` for every leaf."""

    @property
    def dim(self) -> int:
        """Dimension of the manifold: the number of free coordinates."""
        return sum(space.dim for space in jax.tree.leaves(self.spaces, is_leaf=is_space))

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """How many parameters the law of what is observed determines, at almost all points.

        Information criteria count these. It is less than `dim` where latent variables can be
        turned, stretched or moved without any change to what is observed.
        """

    def flatten(self, point: Natural[C] | Mean[C]) -> Float[Array, " dim"]:
        """Pack a point into a vector of minimal length.

        The packing is orthonormal: the pairing of a natural and a mean point equals the dot product
        of their vectors.

        Args:
            point: a point of this manifold, in either chart.

        Returns:
            Vector of shape `(dim,)`.
        """
        self._check_point(point, type(point), "flatten", "point")
        return self._flatten(point.coords, chart_name(type(point)))

    def unflatten(
        self, vector: Float[Array, " dim"], chart: type[Natural] | type[Mean]
    ) -> Natural[C] | Mean[C]:
        """Unpack a vector made by `flatten`.

        Args:
            vector: array of shape `(dim,)`.
            chart: `expfam.Natural` or `expfam.Mean`, the chart of the result.

        Returns:
            The point, in the chart asked for.

        Raises:
            ValueError: where the vector has another length.
            TypeError: where `chart` is not one of the two charts.
        """
        if jnp.shape(vector) != (self.dim,):
            raise ValueError(
                f"{self!r}.unflatten: `vector` must have shape ({self.dim},), but has shape "
                f"{jnp.shape(vector)}."
            )
        return chart(self._unflatten(jnp.asarray(vector), chart_name(chart)))

    def _flatten(self, coords: C, chart: Chart) -> Float[Array, " dim"]:
        return pack(self.spaces, coords, chart)

    def _unflatten(self, vector: Float[Array, " dim"], chart: Chart) -> C:
        coords = unpack(self.spaces, vector, chart)
        return coords if chart == "natural" else self._complete(coords, 1.0)

    @abstractmethod
    def _complete(self, means: C, mass: Array | float) -> C:
        """Fill in what packing leaves out because the rest, and E[1] = mass, determine it."""

    def _check_point(self, point: Any, chart: type, method: str, argument: str) -> None:
        layout = remembered(self, "spaces", lambda: layout_of(self.spaces))
        self._check_coords(point, chart, layout, method, argument)

    def _check_coords(
        self, point: Any, chart: type, layout: Layout, method: str, argument: str
    ) -> None:
        # Refuses a value of another type, a point of another chart, or one of another layout.
        if chart not in (Natural, Mean):
            raise TypeError(
                f"{type(self).__name__}.{method}: `{argument}` must be an expfam.Natural or an "
                f"expfam.Mean, but is of type {chart.__name__}."
            )
        if not isinstance(point, chart):
            other = isinstance(point, AbstractPoint)
            convert = "to_natural" if chart is Natural else "to_mean"
            raise TypeError(
                f"{type(self).__name__}.{method}: `{argument}` must be in {chart_name(chart)} "
                f"coordinates (an expfam.{chart.__name__}), but "
                + (
                    f"is in {chart_name(type(point))} coordinates; convert it with "
                    f"{type(self).__name__}.{convert}."
                    if other
                    else f"is of type {type(point).__name__}."
                )
            )
        leaves, structure = jax.tree.flatten(point.coords)
        shapes = [jnp.shape(leaf) for leaf in leaves]
        if structure != layout.structure or shapes != layout.shapes:
            expected = jax.tree.unflatten(layout.structure, layout.shapes)
            raise ValueError(
                f"{type(self).__name__}.{method}: `{argument}` is not a point of {self!r}: its "
                f"coordinates must have shapes {expected}, but have "
                f"{jax.tree.unflatten(structure, shapes)}."
            )
        for leaf in leaves:
            if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
                raise TypeError(
                    f"{type(self).__name__}.{method}: `{argument}` must have floating-point "
                    f"coordinates, but has some of type {jnp.result_type(leaf)}."
                )

    # ---------------------------------------------------------------- data

    @property
    @abstractmethod
    def support(self) -> Any:
        """The support of a complete data point: a tree of `Support`."""

    @property
    @abstractmethod
    def observed_support(self) -> Any:
        """The support of what is observed of it; the same where nothing is latent."""

    @property
    @abstractmethod
    def n_labels(self) -> int:
        """How many components labels of rows can tell; 0 where the model has none."""

    # ---------------------------------------------------------------- kernels, one data point

    @property
    @abstractmethod
    def _cells(self) -> AbstractCells:
        """What parts of a datum can be missing by themselves, and how they are integrated out."""

    @abstractmethod
    def _sufficient_statistic(self, x: Data) -> C:
        """s(x)."""

    @abstractmethod
    def _log_base_measure(self, x: Data) -> Float[Array, ""]:
        """log μ(x)."""

    @abstractmethod
    def _log_normalizer(self, coords: C) -> Float[Array, ""]:
        """ψ(θ); its derivative must be exact."""

    @abstractmethod
    def _log_normalizer_given(self, coords: C, x: Data) -> Float[Array, ""]:
        """ψ(θ | x), x being what is observed; its derivative must be exact."""

    @abstractmethod
    def _log_density(self, coords: C, x: Data) -> Float[Array, ""]:
        """log p(x; θ) of a complete data point."""

    @abstractmethod
    def _log_evidence(self, coords: C, x: Data) -> Float[Array, ""]:
        """The same value, with the derivatives of ψ(θ | x) alone: those of an E-step."""

    @abstractmethod
    def _maximize(self, means: C, start: C | None) -> C:
        """(∇ψ)⁻¹(η); `start` is where an iteration, or what η leaves undetermined, comes from."""

    @abstractmethod
    def _estimate(self, xs: Data, shares: Float[Array, " n"]) -> C:
        """The maximum of the likelihood of rows of complete data, with shares that sum to one.

        It has the average statistic for its mean coordinates; where that average alone does not
        determine it to the digits that the rows do, it is computed from the rows.
        """

    @abstractmethod
    def _attains(self, coords: C, xs: Data, shares: Float[Array, " n"]) -> Bool[Array, ""]:
        """Whether coordinates are the maximum of the likelihood of rows, up to rounding."""

    @property
    @abstractmethod
    def _guarded(self) -> bool:
        """Whether M-steps may be too long, so that what falls has to be halved."""

    @property
    @abstractmethod
    def _grouping(self) -> AbstractGrouping:
        """How rows are divided into groups, where a mixture of the family starts."""

    @abstractmethod
    def _entropy(self, coords: C) -> Float[Array, ""]:
        """−E[log p(x)] of a complete data point."""

    @abstractmethod
    def _in_domain(self, coords: C) -> Bool[Array, ""]:
        """Whether ψ(θ) is finite."""

    @abstractmethod
    def _sample(self, key: Key[Array, ""], coords: C) -> Data:
        """One draw of a complete data point."""

    @abstractmethod
    def _observe(self, x: Data) -> Data:
        """What is observed of a complete data point."""

    @abstractmethod
    def _features(self, x: Data) -> Float[Array, " features"]:
        """What is observed, as a vector in which distances make sense (for k-means++)."""

    @abstractmethod
    def _initialize(self, key: Key[Array, ""]) -> C:
        """A random point of the domain."""

    @abstractmethod
    def _sketch(self, rng: np.random.Generator, table: Table, kind: Kind) -> Any:
        """What decides where a fit starts, found on the host: a tree of NumPy arrays.

        Its table has the features of the rows, and the sketch is read by `_initialize_from_sample`.
        """

    @abstractmethod
    def _initialize_from_sample(
        self,
        sketch: Any,
        xs: Data,
        features: Float[Array, "n features"],
        weights: Float[Array, " n"],
    ) -> C:
        """A point to start a fit from."""

    @abstractmethod
    def _weak_means(self, xs: Data) -> C:
        """Mean coordinates of rows of the scale of the data, off the boundary whatever the data."""

    @abstractmethod
    def _to_unconstrained(self, coords: C) -> PyTree[Array]:
        """Free parameters of a point of the domain, of any real value."""

    @abstractmethod
    def _from_unconstrained(self, free: PyTree[Array]) -> C:
        """The point with the given free parameters."""

    @abstractmethod
    def _compress(self, xs: Data, weights: Any) -> tuple[Any, Data, Any]:
        """Fewer weighted rows that have the same ∇ψ(θ | x) on average for all θ, if there are.

        They are data of the model that comes with them, which may have another origin.
        """

    @abstractmethod
    def _whiten(self, means: C) -> C:
        """The same distribution of what is observed, with latent variables in a standard form."""
