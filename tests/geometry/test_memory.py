"""What is remembered about objects is found by their identity, and dies with them."""

import gc

import numpy as np

from expfam.geometry.memory import Memory


def test_facts_belong_to_the_very_objects():
    memory = Memory()
    one, equal = np.zeros(3), np.zeros(3)
    memory.keep("known", one, equal)
    assert memory.recall(one, equal) == "known"
    assert memory.recall(equal, one) is None
    assert memory.recall(one) is None
    assert memory.recall(one, equal, how="other") is None


def test_facts_are_forgotten_with_any_of_the_objects():
    memory = Memory()
    one, other = np.zeros(3), np.ones(3)
    memory.keep("known", one, other)
    del other
    gc.collect()
    assert memory._facts == {}


def test_later_facts_replace_earlier_ones():
    memory = Memory()
    one = np.zeros(3)
    memory.keep("first", one)
    memory.keep("second", one)
    gc.collect()
    assert memory.recall(one) == "second"
