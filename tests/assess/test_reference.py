"""Every public name of the package is explained, and is once in the reference."""

import inspect
import types
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import expfam as ef

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "assess.md"
NAMES = sorted(
    name
    for name, value in vars(ef.assess).items()
    if not name.startswith("_") and not isinstance(value, types.ModuleType)
)


def test_reference_is_complete():
    lines = PAGE.read_text("utf-8").splitlines()
    listed = [line.split()[1] for line in lines if line.startswith("::: ")]
    assert sorted(listed) == [f"expfam.assess.{name}" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_attributes_are_explained(name):
    value = getattr(ef.assess, name)
    text = inspect.getdoc(value) or ""
    assert text.splitlines()[0].endswith(".")
    if inspect.isclass(value):
        explained = [f.name for f in fields(value)] if is_dataclass(value) else []
    else:
        explained = list(inspect.signature(value).parameters)
    assert [argument for argument in explained if f"    {argument}:" not in text] == []
