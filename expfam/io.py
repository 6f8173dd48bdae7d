"""`save` and `load`: models, parameters and fits in one file, which holds no code.

The file is laid out as safetensors lay theirs out: the length of a header, the header in JSON, and
the bytes of all arrays after each other. An archive (npz) would have to be unpacked to know how
much memory it takes; here arrays are slices of the file, so that none can be larger than it.
Classes are told by their names, of which only those of this library are known.
"""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .families.base import AbstractExponentialFamily
from .families.derived.bijections import AbstractBijection
from .families.derived.restrictions import AbstractRestriction
from .families.frame import Frame
from .fitting.result import Fit, Status
from .geometry.manifold import layout_of
from .geometry.points import Mean, Natural
from .geometry.structures import AbstractStructure
from .priors.base import AbstractPrior
from .priors.weights import AbstractWeightPrior
from .tables.columns import Column
from .tables.schema import Factor, Schema

_FORMAT, _VERSION = "expfam", "1"

_ROOTS = (
    *(AbstractExponentialFamily, AbstractStructure, AbstractBijection, AbstractRestriction),
    *(AbstractPrior, AbstractWeightPrior),
)
_OWN = __name__.rpartition(".")[0]

_TYPES = {
    "BOOL": np.dtype("?"),
    **{
        f"{kind}{8 * size}": np.dtype(f"<{kind.lower()}{size}")
        for kind in "IU"
        for size in (1, 2, 4, 8)
    },
    **{f"F{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
    "BF16": np.dtype(jnp.bfloat16),
}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}

# Headers are short: they name classes and shapes.
_LONGEST_HEADER = 2**26
_NO_DIGEST = "0" * 64


@final
class Saved(NamedTuple):
    """What a file holds.

    Attributes:
        model: the model.
        params: its natural coordinates.
        fit: how they were found, or `None`.
        schema: what the columns of the data are, or `None`.
        prior: the prior of the fit, or `None`.
    """

    model: AbstractExponentialFamily
    params: Natural[Any]
    fit: Fit | None = None
    schema: Any = None
    prior: AbstractPrior | None = None


def save(
    path: str | os.PathLike[str],
    model: AbstractExponentialFamily,
    params: Natural[Any],
    fit: Fit | None = None,
    schema: Any = None,
    *,
    prior: AbstractPrior | None = None,
) -> None:
    """Write a model and its parameters to one file, from which `load` gives them back bit for bit.

    Args:
        path: the file; what it held is replaced as a whole.
        model: any family or model, standardized ones too.
        params: natural coordinates of the model.
        fit: result of `fit`, to be kept with them.
        schema: what describes the columns of the data, made of numbers, strings, tuples, lists,
            dictionaries and families.
        prior: the prior of the fit.

    Raises:
        TypeError: what a file cannot hold, such as classes that are not those of this library.
        ValueError: parameters of another model.
    """
    if not isinstance(model, AbstractExponentialFamily):
        raise TypeError(
            f"save: `model` must be a family or a model, but is of type {type(model).__name__}."
        )
    model._check_point(params, Natural, "save", "params")
    for name, value, kind in (("fit", fit, Fit), ("prior", prior, AbstractPrior)):
        if value is not None and not isinstance(value, kind):
            raise TypeError(
                f"save: `{name}` must be an expfam.{kind.__name__}, but is of type "
                f"{type(value).__name__}."
            )
    writer = _Writer()
    content = {
        "model": writer.node(model),
        "params": writer.leaves(params),
        "fit": None if fit is None else writer.fit(fit),
        "schema": writer.node(schema),
        "prior": writer.node(prior),
    }
    _write(Path(path), content, writer.arrays)


def load(
    path: str | os.PathLike[str],
    *,
    dtype: Any = None,
    classes: Sequence[type] = (),
) -> Saved:
    """Read what `save` has written. Nothing in the file is run.

    Args:
        path: the file.
        dtype: floating-point type that arrays are converted to, e.g. `"float32"`; by default they
            keep theirs.
        classes: final classes of your own, besides those of this library, that the file may name:
            families, covariance structures, or dataclasses of a schema.

    Returns:
        Model, parameters, and what else was saved.

    Raises:
        ValueError: a file that is none of these, is damaged, was written in another version of the
            format, names unknown classes, or holds arrays of wrong sizes.
        TypeError: a type of numbers that is none.

    Examples:
        >>> import tempfile, jax.numpy as jnp, expfam as ef
        >>> normal = ef.Normal(2)
        >>> params = normal.from_mean_covariance(jnp.zeros(2), jnp.eye(2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ef.save(f"{folder}/normal.expfam", normal, params)
        ...     model, again, *_ = ef.load(f"{folder}/normal.expfam")
        >>> model == normal, bool((again.coords.first == params.coords.first).all())
        (True, True)
    """
    wanted = None if dtype is None else np.dtype(dtype)
    if wanted is not None and not jnp.issubdtype(wanted, jnp.floating):
        raise TypeError(f"load: `dtype` must be a floating-point type, but is {dtype!r}.")
    file = Path(path)
    content, arrays = _read(file)
    reader = _Reader(file, arrays, wanted, {cls.__name__: cls for cls in (*_known(), *classes)})
    try:
        model = reader.family(content["model"])
        return Saved(
            model,
            Natural(reader.coords(model, content["params"])),
            None if content["fit"] is None else reader.fit(content["fit"]),
            reader.node(content["schema"]),
            reader.prior(content["prior"]),
        )
    except _DAMAGE as error:
        raise _refused(file, f"it does not describe a model: {error}") from error


def _known() -> Iterator[type]:
    # The final classes of this library that models, and schemas of tables, are made of.
    def below(cls: type) -> Iterator[type]:
        for child in cls.__subclasses__():
            yield child
            yield from below(child)

    coords = (cls for cls in eqx.Module.__subclasses__() if cls.__name__.endswith("Coords"))
    for cls in (*(child for root in _ROOTS for child in below(root)), *coords, Frame):
        if cls.__module__.startswith(f"{_OWN}.") and vars(cls).get("__final__", False):
            yield cls
    yield from (Natural, Mean, Schema, Factor, Column)


# ------------------------------------------------------------------------------------ to JSON


@final
@dataclass
class _Writer:
    """Turns objects into JSON, and sets their arrays aside."""

    arrays: list[np.ndarray] = field(default_factory=list)

    def node(self, value: Any) -> Any:
        match value:
            case None | bool() | str():
                return value
            case float() if not math.isfinite(value):
                return {"float": repr(value)}
            case int() | float():
                return value
            case tuple() | list():
                return {type(value).__name__: [self.node(item) for item in value]}
            case dict():
                return {"dict": [[self.node(key), self.node(item)] for key, item in value.items()]}
            case jax.Array():
                return {"array": self.array(value)}
            case np.ndarray() | np.generic():
                return {"numpy": self.array(value)}
        if not dataclasses.is_dataclass(value) or isinstance(value, type):
            raise TypeError(f"save: a file cannot hold {value!r}, of type {type(value).__name__}.")
        parts = {part.name: vars(value)[part.name] for part in dataclasses.fields(value)}
        fields = {name: self.node(part) for name, part in parts.items()}
        return {"class": type(value).__name__, "fields": fields}

    def array(self, value: Any) -> int:
        array = np.asarray(value)
        if array.dtype.newbyteorder("<") not in _NAMES:
            raise TypeError(f"save: a file cannot hold arrays of type {array.dtype}.")
        self.arrays.append(array.astype(array.dtype.newbyteorder("<")))
        return len(self.arrays) - 1

    def leaves(self, point: Natural[Any] | Mean[Any]) -> list[int]:
        return [self.array(leaf) for leaf in jax.tree.leaves(point.coords)]

    def fit(self, fit: Fit) -> dict[str, Any]:
        return {
            "model": self.node(fit.model),
            "params": self.leaves(fit.params),
            "status": fit.status.name,
            "restart_statuses": [status.name for status in fit.restart_statuses],
            **{name: self.node(vars(fit)[name]) for name in _PLAIN},
        }


# What a fit consists of besides its model, point and statuses.
_PLAIN = (
    *("log_likelihoods", "steps", "converged", "remaining_gain", "restart_log_likelihoods"),
    *("boundary", "posterior"),
)


# ------------------------------------------------------------------------------------ from JSON

# What nodes that were not written by `save` lead to.
_DAMAGE = ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError


@final
@dataclass
class _Reader:
    """Makes objects of JSON and arrays."""

    file: Path
    arrays: list[np.ndarray]
    dtype: np.dtype | None
    known: Mapping[str, type]

    def node(self, node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        if "class" in node:
            return self.instance(node["class"], node["fields"])
        ((kind, value),) = node.items()
        match kind:
            case "float":
                return float(value)
            case "tuple":
                return tuple(self.node(item) for item in value)
            case "list":
                return [self.node(item) for item in value]
            case "dict":
                return {self.node(key): self.node(item) for key, item in value}
            case "array":
                return self.array(value)
            case "numpy":
                return self.number(value)[()]
        raise ValueError(f"{kind!r} is no kind of value")

    def instance(self, name: str, fields: Mapping[str, Any]) -> Any:
        if name not in self.known:
            raise ValueError(
                f"it names the class {name!r}, which is none of this version of expfam; where it "
                "is your own, give it in `classes`"
            )
        return self.known[name](**{key: self.node(part) for key, part in fields.items()})

    def family(self, node: Any) -> AbstractExponentialFamily:
        family = self.node(node)
        if not isinstance(family, AbstractExponentialFamily):
            raise TypeError(f"a model is of type {type(family).__name__}")
        return family

    def number(self, index: int) -> np.ndarray:
        array = self.arrays[index]
        floating = jnp.issubdtype(array.dtype, jnp.floating)
        return array.astype(self.dtype) if floating and self.dtype is not None else array

    def array(self, index: int) -> jax.Array:
        number = self.number(index)
        if jax.dtypes.canonicalize_dtype(number.dtype) != number.dtype:
            raise ValueError(
                f"its arrays are of type {number.dtype}, which JAX does not keep here: call "
                'jax.config.update("jax_enable_x64", True) first, or load(..., dtype="float32")'
            )
        return jax.device_put(number)

    def coords(self, family: AbstractExponentialFamily, indices: Sequence[int]) -> Any:
        layout = layout_of(family.spaces)
        shapes = [self.arrays[index].shape for index in indices]
        if shapes != layout.shapes:
            raise ValueError(f"coordinates of {family!r} have shapes {layout.shapes}, not {shapes}")
        return jax.tree.unflatten(layout.structure, [self.array(index) for index in indices])

    def fit(self, node: Mapping[str, Any]) -> Fit:
        model = self.family(node["model"])
        return Fit(
            model=model,
            params=Natural(self.coords(model, node["params"])),
            status=Status[node["status"]],
            restart_statuses=tuple(Status[name] for name in node["restart_statuses"]),
            **{name: self.node(node[name]) for name in _PLAIN},
        )

    def prior(self, node: Any) -> AbstractPrior | None:
        prior = self.node(node)
        if not isinstance(prior, AbstractPrior | None):
            raise TypeError(f"a prior is of type {type(prior).__name__}")
        return prior


# ------------------------------------------------------------------------------------ the file


def _write(path: Path, content: Any, arrays: Sequence[np.ndarray]) -> None:
    tensors, end = {}, 0
    for i, array in enumerate(arrays):
        start, end = end, end + array.nbytes
        described = {"dtype": _NAMES[array.dtype], "shape": array.shape}
        tensors[str(i)] = {**described, "data_offsets": [start, end]}
    about = {"format": _FORMAT, "version": _VERSION, "sha256": _NO_DIGEST}
    about |= {"content": json.dumps(content, allow_nan=False)}
    header = json.dumps({"__metadata__": about, **tensors}).encode()
    header += b" " * (-len(header) % 8)
    body = b"".join(array.tobytes() for array in arrays)
    # The digest is that of the file without it.
    header = header.replace(_NO_DIGEST.encode(), _digest(header, body).encode(), 1)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(len(header).to_bytes(8, "little") + header + body)
    os.replace(unfinished, path)


def _read(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    # Sizes are compared with that of the file before anything is read into memory.
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_LONGEST_HEADER, size - 8):
            raise _refused(path, "it has no header")
        header = file.read(length)
        try:
            tensors = json.loads(header)
            about = tensors.pop("__metadata__")
            kind, version, digest = about["format"], about["version"], about["sha256"]
        except _DAMAGE as error:
            raise _refused(path, f"its header cannot be read: {error}") from error
        if kind != _FORMAT:
            raise _refused(path, f"its format is {kind!r}")
        if version != _VERSION:
            raise ValueError(
                f"load: {path} was written in version {version} of the format, but this version of "
                f"expfam reads version {_VERSION}; use the version of expfam that wrote it."
            )
        try:
            arrays = _shapes(tensors)
            content = json.loads(about["content"])
        except _DAMAGE as error:
            raise _refused(path, f"its header is damaged: {error}") from error
        total = sum(count * dtype.itemsize for dtype, _, count in arrays)
        if total != size - 8 - length:
            raise _refused(
                path, f"it declares {total} bytes of numbers, and has {size - 8 - length}"
            )
        body = file.read()
    if digest != _digest(header.replace(str(digest).encode(), _NO_DIGEST.encode(), 1), body):
        raise _refused(path, "its checksum is another")
    found, start = [], 0
    for dtype, shape, count in arrays:
        found.append(np.frombuffer(body, dtype, count, start).reshape(shape))
        start += count * dtype.itemsize
    return content, found


def _shapes(tensors: Mapping[str, Any]) -> list[tuple[np.dtype, tuple[int, ...], int]]:
    # Types, shapes and numbers of entries, in the order of the file.
    found, end = [], 0
    for i in range(len(tensors)):
        declared = tensors[str(i)]
        dtype, shape = _TYPES[declared["dtype"]], tuple(declared["shape"])
        if not all(type(axis) is int and axis >= 0 for axis in shape) or len(shape) > 32:
            raise ValueError(f"an array cannot have the shape {shape}")
        count = math.prod(shape)
        start, end = end, end + count * dtype.itemsize
        if declared["data_offsets"] != [start, end]:
            raise ValueError(f"array {i} does not follow the one before")
        found.append((dtype, shape, count))
    return found


def _digest(header: bytes, body: bytes) -> str:
    return hashlib.sha256(header + body).hexdigest()


def _refused(path: Path, why: str) -> ValueError:
    return ValueError(
        f"load: {path} is no file that expfam.save has written, or is damaged: {why}."
    )
