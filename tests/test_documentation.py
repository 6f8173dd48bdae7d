"""The documentation says what is so: code runs, outputs come out, the reference is complete.

In a block of Python code, comments that begin with `# ->` show what the statement above them, or on
the same line, prints: all of it, but for white space and line breaks. What is printed and not shown
is not compared.
"""

import ast
import contextlib
import doctest
import importlib
import inspect
import io
import pkgutil
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from docs.pictures.pages import PICTURES, draw
from expfam.priors.compiled import conjugacy_of

from .registry import REGISTRY

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
FAMILIES = DOCS / "reference" / "families"
SHOWN = "# ->"

_FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAVIGATION = re.compile(r"[\w/]+\.md")
_DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
_FAMILY = re.compile(r"^\| \[(\w+)\]\((\w+\.md)#expfam\.(\w+)\) \|(.*)\|$", re.MULTILINE)
_PICTURE = re.compile(r"^!\[.{20,}\]\(\.\./\.\./images/families/(\w+)\.png\)$", re.MULTILINE)

PUBLIC = {name: value for name, value in vars(ef).items() if not name.startswith("_")}
PUBLIC = {name: value for name, value in PUBLIC.items() if not isinstance(value, types.ModuleType)}
MODULES = [module.name for module in pkgutil.walk_packages(ef.__path__, "expfam.")]


def run_page(page: Path) -> dict[str, Any]:
    """Run all Python blocks of a page, top to bottom, in one namespace."""
    text = page.read_text(encoding="utf-8")
    module = types.ModuleType(f"page_{page.stem}")
    # Classes look for the module that they are defined in.
    sys.modules[module.__name__] = module
    with np.printoptions():
        for match in _FENCE.finditer(text):
            # Blank lines in front keep the line numbers of the page.
            source = "\n" * text.count("\n", 0, match.start(1)) + match.group(1)
            _run_block(source, vars(module), str(page.relative_to(ROOT)))
    return vars(module)


def _run_block(source: str, namespace: dict[str, Any], name: str) -> None:
    lines = source.splitlines()
    body = ast.parse(source, name).body
    ends = [statement.lineno - 1 for statement in body[1:]] + [len(lines)]
    for statement, end in zip(body, ends, strict=True):
        last = statement.end_lineno or statement.lineno
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(ast.Module([statement], []), name, "exec"), namespace)
        shown = " ".join(_shown(lines[last - 1 : end])).split()
        assert not shown or printed.getvalue().split() == shown, (
            f"{name}, line {statement.lineno}, prints\n{printed.getvalue()}but shows\n"
            f"{' '.join(shown)}"
        )


def _shown(lines: list[str]) -> Iterator[str]:
    for line in lines:
        _, mark, value = line.partition(SHOWN)
        if mark:
            yield value


def marked(page: Path) -> Any:
    """A page; most are long tests, but what is read first is always run."""
    name = str(page.relative_to(ROOT))
    first = ("README.md", "docs/index.md", "docs/tutorial/families", "docs/tutorial/mixtures")
    return pytest.param(page, id=name, marks=[] if name.startswith(first) else pytest.mark.slow)


@pytest.mark.parametrize("page", [marked(page) for page in PAGES])
def test_page_runs(page: Path) -> None:
    run_page(page)


def test_shown_output_is_compared() -> None:
    _run_block("print(1)\n# -> 1\nprint([1,\n  2])  # -> [1, 2]", {}, "good")
    for wrong in ("print(1)\n# -> 2", "x = 1\n# -> 1", "print(1)  # -> 1\n# -> 2"):
        with pytest.raises(AssertionError):
            _run_block(wrong, {}, "wrong")


def test_navigation_lists_every_page() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = _NAVIGATION.findall(navigation)
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


# ---------------------------------------------------------------- reference


def test_every_public_name_is_once_in_the_reference() -> None:
    pages = sorted((DOCS / "reference").rglob("*.md"))
    found = [name for page in pages for name in _DIRECTIVE.findall(page.read_text("utf-8"))]
    public = [name.removeprefix("expfam.") for name in found if name.count(".") == 1]
    expected = [*PUBLIC, "plot"] if "expfam.plot" in MODULES else [*PUBLIC]
    assert sorted(public) == sorted(expected)
    assert len(set(found)) == len(found)


def test_table_of_families_says_what_is_so() -> None:
    instances = {type(instance.family).__name__: instance.family for instance in REGISTRY}
    listed = []
    for name, page, anchor, rest in _FAMILY.findall((FAMILIES / "index.md").read_text("utf-8")):
        listed.append(name)
        assert name == anchor
        assert f"expfam.{name}" in _DIRECTIVE.findall((FAMILIES / page).read_text("utf-8"))
        made_by, prior = (cell.strip(" `") for cell in re.split(r"(?<!\\)\|", rest)[-2:])
        assert callable(getattr(PUBLIC[name], made_by))
        if name in instances:
            conjugacy = conjugacy_of(instances[name])
            unnamed = conjugacy is not None and not conjugacy.shapes(instances[name])
            assert (prior == "mode only", prior == "no name") == (conjugacy is None, unnamed), name
    folders = {page.stem for page in FAMILIES.glob("*.md")} - {"index", "combinators", "new"}
    groups = [[folder] for folder in folders]
    named = [name for name, value in PUBLIC.items() if value.__module__.split(".")[2:3] in groups]
    assert sorted(listed) == sorted(named)


def test_every_method_of_families_is_in_the_table() -> None:
    index = (FAMILIES / "index.md").read_text("utf-8")
    methods = [name for name in vars(ef.AbstractExponentialFamily) if not name.startswith("_")]
    assert [name for name in methods if f"`{name}`" not in index] == []


def test_each_group_of_families_has_its_picture(tmp_path: Path) -> None:
    pages = {page.stem: page.read_text("utf-8") for page in FAMILIES.glob("*.md")}
    shown = {stem: _PICTURE.findall(text) for stem, text in pages.items()}
    assert {stem: names for stem, names in shown.items() if names} == {n: [n] for n in PICTURES}
    for name in PICTURES:
        assert (DOCS / "images" / "families" / f"{name}.png").is_file()
    assert draw("probabilities", tmp_path).stat().st_size > 10_000


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_name_has_a_docstring(name: str) -> None:
    value = PUBLIC[name]
    text = inspect.getdoc(value) or ""
    assert text.splitlines()[0].endswith("."), "begins with a sentence"
    if inspect.isclass(value):
        own = [f.name for f in fields(value)] if is_dataclass(value) else []
        assert not own or "Attributes:" in text
        missing = [attribute for attribute in own if f"    {attribute}:" not in text]
    else:
        assert "Args:" in text
        missing = [p for p in inspect.signature(value).parameters if f"    {p}:" not in text]
    assert not missing, f"{name} does not explain {missing}"


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


# ---------------------------------------------------------------- the family of "add a family"


def test_added_family_agrees_with_scipy() -> None:
    geometric = run_page(DOCS / "how_to" / "add_a_family.md")["Geometric"]()
    counts = np.arange(20)
    for p in (0.1, 0.5, 0.9):
        params = geometric.from_probability(p)
        reference = stats.geom(p, loc=-1)
        np.testing.assert_allclose(
            geometric.log_density(params, counts), reference.logpmf(counts), rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(geometric.to_mean(params).coords, reference.mean(), rtol=1e-4)
        np.testing.assert_allclose(geometric.entropy(params), reference.entropy(), rtol=1e-4)
        np.testing.assert_allclose(
            geometric.fisher_information(params)[0, 0], reference.var(), rtol=1e-3
        )
        back = geometric.to_natural(geometric.to_mean(params))
        np.testing.assert_allclose(geometric.probability(back), p, rtol=1e-4)
        free = geometric._from_unconstrained(geometric._to_unconstrained(params.coords))
        np.testing.assert_allclose(free, params.coords, rtol=1e-4)
    assert not geometric.in_domain(ef.Natural(jnp.asarray(0.1)))
