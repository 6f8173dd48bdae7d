"""The rules of the house: small final classes, no overriding, imports only downward."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import expfam as ef
from tests.registry import REGISTRY

ROOT = Path(ef.__file__).parent
TREES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))
}

# From the bottom to the top: a module imports from its own layer and from layers below.
LAYERS = [
    {"geometry", "compilation_cache"},
    {"families"},
    {"priors"},
    {"harmonium"},
    {"regression"},
    {"models"},
    {"fitting"},
    {"bayes"},
    {"assess"},
    {"io", "tables"},
    {"numpyro", "plot", "sklearn"},
    {"__init__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# Layers at the top may need what is not installed.
OPTIONAL = {"arviz", "blackjax", "matplotlib", "narwhals", "numpyro", "sklearn", "tqdm"}


def module_of(name):
    """The dotted name of a file below expfam, e.g. `geometry.points`."""
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def import_all():
    for info in pkgutil.walk_packages([str(ROOT)], "expfam."):
        try:
            yield importlib.import_module(info.name)
        except ModuleNotFoundError as error:
            if error.name.split(".")[0] not in OPTIONAL:
                raise


def is_own(cls):
    return cls.__module__.split(".")[0] == "expfam"


def own_bases(cls):
    """The classes of expfam among the ancestors, itself first."""
    return [base for base in cls.__mro__ if is_own(base)]


CLASSES = sorted(
    {
        value
        for module in import_all()
        for value in vars(module).values()
        if inspect.isclass(value) and is_own(value)
    },
    key=lambda cls: (cls.__module__, cls.__qualname__),
)
SOURCES = {
    (f"expfam.{module_of(name)}", node.name): node
    for name, tree in TREES.items()
    for node in ast.walk(tree)
    if isinstance(node, ast.ClassDef)
}


def source(cls):
    return SOURCES[cls.__module__, cls.__qualname__]


def methods(cls):
    """Names of the methods and properties that a class defines, and whether they are abstract."""
    return {
        node.name: any("abstractmethod" in ast.unparse(d) for d in node.decorator_list)
        for node in source(cls).body
        if isinstance(node, ast.FunctionDef)
    }


def fields(cls):
    """Names of the fields that a class defines; neither abstract ones nor class variables."""
    return [
        ast.unparse(node.target)
        for node in source(cls).body
        if isinstance(node, ast.AnnAssign)
        and not ast.unparse(node.annotation)
        .removeprefix("eqx.")
        .startswith(("AbstractVar", "AbstractClassVar", "ClassVar"))
    ]


def is_abstract(cls):
    return cls.__name__.lstrip("_").startswith("Abstract")


each_class = pytest.mark.parametrize(
    "cls", CLASSES, ids=[f"{c.__module__[7:]}.{c.__qualname__}" for c in CLASSES]
)
each_file = pytest.mark.parametrize("name", list(TREES))


def test_classes_and_files_are_found():
    assert {ef.Normal, ef.Mixture, ef.AbstractExponentialFamily} <= set(CLASSES)
    assert {"geometry/points.py", "harmonium/mixture.py"} <= set(TREES)
    assert {source(cls).name for cls in CLASSES} == {node.name for node in SOURCES.values()}


# ------------------------------------------------------------------------------------ classes


@each_class
def test_classes_are_abstract_or_final(cls):
    open_members = {
        *getattr(cls, "__abstractmethods__", ()),
        *getattr(cls, "__abstractvars__", ()),
        *getattr(cls, "__abstractclassvars__", ()),
    }
    if is_abstract(cls):
        assert open_members
        assert not getattr(cls, "__final__", False)
    else:
        assert not open_members
        assert getattr(cls, "__final__", False)


@each_class
def test_inheritance_is_single_flat_and_from_abstract_classes(cls):
    # The protocol of scikit-learn is made of its mixins.
    mixed = {base for base in cls.__bases__ if base.__module__ == "sklearn.base"}
    mixins = {base for base in mixed if base.__name__.endswith("Mixin")}
    bases = {base for base in cls.__bases__ if base.__name__ != "Generic"}
    assert len(bases - mixins) == 1
    assert len(own_bases(cls)) <= 4
    assert all(is_abstract(base) for base in own_bases(cls)[1:])


@each_class
def test_nothing_concrete_is_overridden(cls):
    for base in own_bases(cls)[1:]:
        concrete = {name for name, abstract in methods(base).items() if not abstract}
        assert not concrete & methods(cls).keys() - {"__check_init__"}


@each_class
def test_fields_are_in_one_class_and_constructors_are_generated(cls):
    assert len([base for base in own_bases(cls) if fields(base)]) <= 1
    assert "__init__" not in methods(cls) or issubclass(cls, Exception)
    # An exception hands its message on to Python's own.
    calls = {node.id for node in ast.walk(source(cls)) if isinstance(node, ast.Name)}
    assert "super" not in calls or issubclass(cls, Exception)


@each_class
def test_public_members_are_documented_where_they_are_defined_first(cls):
    inherited = {name for base in own_bases(cls)[1:] for name in methods(base)}
    for node in source(cls).body:
        private = cls.__name__.startswith("_")
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not private:
            # Fields of an abstract class are described in its docstring.
            declared = any(
                node.name in vars(base).get("__annotations__", {}) for base in cls.__mro__
            )
            assert node.name in inherited or declared or ast.get_docstring(node), node.name


@pytest.mark.parametrize("instance", REGISTRY, ids=[instance.name for instance in REGISTRY])
def test_manifolds_hold_no_data(instance):
    # Equal and hashable: part of the key of what is compiled.
    family = instance.family
    again = eval(repr(family), vars(ef))
    assert again == family
    assert hash(again) == hash(family)


# ------------------------------------------------------------------------------------ files


@each_file
def test_interfaces_do_not_refuse(name):
    names = {node.id for node in ast.walk(TREES[name]) if isinstance(node, ast.Name)}
    assert "NotImplementedError" not in names


def imported(name):
    """The modules of expfam that a file imports, e.g. `geometry.points`."""
    folders = Path(name).parent.parts
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "expfam" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            origin = [*folders[: len(folders) + 1 - node.level], *(node.module or "").split(".")]
            origin = ".".join(filter(None, origin))
            # `from . import shared` names a module
            for alias in node.names:
                full = f"{origin}.{alias.name}" if origin else alias.name
                yield full if any(module_of(other) == full for other in TREES) else origin
        elif isinstance(node, ast.ImportFrom):
            assert node.module.split(".")[0] != "expfam", "imports inside expfam are relative"


def layer(module):
    return module.split(".")[0] or "__init__"


@each_file
def test_imports_point_downward(name):
    own = layer(module_of(name))
    for target in imported(name):
        assert LEVEL[layer(target)] <= LEVEL[own], f"{name} imports {target}"


def test_imports_have_no_cycle():
    below = {module_of(name): set(imported(name)) for name in TREES}
    assert {"geometry.points", "families.base"} <= below["priors.conjugate"]
    while below:
        free = {name for name, targets in below.items() if not targets & below.keys()}
        assert free, f"import cycle among {sorted(below)}"
        below = {name: targets for name, targets in below.items() if name not in free}


@each_file
def test_files_are_short_and_say_what_they_are(name):
    assert len((ROOT / name).read_text().splitlines()) <= 500
    assert ast.get_docstring(TREES[name])


# ------------------------------------------------------------------------------------ public names

PUBLIC = [
    (node.module or "", alias.name, alias.asname)
    for node in TREES["__init__.py"].body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
]


def test_public_names_are_sorted_by_module_and_unique():
    modules = [module for module, _, _ in PUBLIC]
    assert modules == sorted(modules)
    assert len({name for _, name, _ in PUBLIC}) == len(PUBLIC)


@pytest.mark.parametrize(("module", "name", "exported"), PUBLIC, ids=[n for _, n, _ in PUBLIC])
def test_public_names_are_exported_and_documented(module, name, exported):
    # `from .a import b as b` is how a name is re-exported
    assert name == exported
    assert vars(ef)[name].__doc__
