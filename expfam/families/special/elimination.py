"""Elimination of the nodes of a graph: the static plan of exact sums over all states.

Nodes are summed out one after the other. What is left of a node is a message over its neighbors
that remain, which become neighbors of each other (fill-in); the largest number of them is the width
of the order (Lauritzen & Spiegelhalter 1988; Koller & Friedman 2009, chapter 9). The last width + 1
nodes, the root, are summed over together.
"""

from functools import lru_cache
from typing import NamedTuple, final

import numpy as np

Edge = tuple[int, int]


@final
class Plan(NamedTuple):
    """An elimination order of n nodes, as arrays of numbers.

    States of several binary nodes are numbered by their bits, the first node the lowest. The table
    of an eliminated node is over itself and its neighbors, that of the root over the nodes of the
    root: 2^(width + 1) states each. Rows are padded to the width with node n and edge m, which do
    not exist.

    Attributes:
        width: largest number of neighbors at elimination, w.
        nodes: eliminated nodes in their order, `(n − w − 1,)`.
        neighbors: their remaining neighbors, `(n − w − 1, w)`.
        edges: the edge to each neighbor; m where that is fill-in.
        parents: the row of `nodes` that gets the message of each; the last row + 1 is the root.
        places: for each bit of the table of the parent, the value of that node in the number of the
            state of the neighbors, `(n − w − 1, w + 1)`; 0 for nodes that are none of them.
        root: the nodes of the root, `(w + 1,)`.
        root_edges: the edge between each pair of them, `(w + 1, w + 1)`; m where there is none.
    """

    width: int
    nodes: np.ndarray
    neighbors: np.ndarray
    edges: np.ndarray
    parents: np.ndarray
    places: np.ndarray
    root: np.ndarray
    root_edges: np.ndarray


@lru_cache(maxsize=64)
def plan(size: int, edges: tuple[Edge, ...]) -> Plan:
    """The plan of a graph, in an order that fills in few edges.

    Args:
        size: number of nodes n.
        edges: m pairs of different nodes.
    """
    order, remaining = eliminate(size, edges)
    width = max(map(len, remaining))
    number = {frozenset(edge): i for i, edge in enumerate(edges)}
    count = size - width - 1
    root = order[count:]
    row = {node: i for i, node in enumerate(order[:count])}
    neighbors = np.full((count, width), size, np.int32)
    own = np.full((count, width), len(edges), np.int32)
    parents = np.full(count, count, np.int32)
    places = np.zeros((count, width + 1), np.int32)
    for i, node in enumerate(order[:count]):
        others = remaining[i]
        neighbors[i, : len(others)] = others
        own[i, : len(others)] = [
            number.get(frozenset((node, other)), len(edges)) for other in others
        ]
        # The first of the neighbors to be eliminated has all the others for neighbors.
        parents[i] = row.get(others[0], count) if others else count
        table = root if parents[i] == count else [order[parents[i]], *remaining[parents[i]]]
        for bit, other in enumerate(others):
            places[i, table.index(other)] = 1 << bit
    pairs = [[number.get(frozenset((a, b)), len(edges)) for b in root] for a in root]
    return Plan(
        width,
        np.array(order[:count], np.int32),
        neighbors,
        own,
        parents,
        places,
        np.array(root, np.int32),
        np.array(pairs, np.int32),
    )


def eliminate(size: int, edges: tuple[Edge, ...]) -> tuple[list[int], list[list[int]]]:
    """An elimination order, and the neighbors of each node when it is eliminated, in that order.

    At each step the node is taken whose neighbors lack the fewest edges, and of these the one with
    the fewest neighbors. On chordal graphs no edge is ever filled in.
    """
    graph: dict[int, set[int]] = {node: set() for node in range(size)}
    for a, b in edges:
        graph[a].add(b)
        graph[b].add(a)
    cost = {node: _cost(graph, node) for node in graph}
    order, neighbors = [], []
    while graph:
        node = min(graph, key=lambda one: (cost[one], one))
        others = graph.pop(node)
        order.append(node)
        neighbors.append(others)
        touched = set(others)
        for other in others:
            graph[other].discard(node)
            graph[other] |= others - {other}
        for other in others:
            touched |= graph[other]
        cost.update({one: _cost(graph, one) for one in touched})
    rank = {node: i for i, node in enumerate(order)}
    return order, [sorted(others, key=rank.__getitem__) for others in neighbors]


def _cost(graph: dict[int, set[int]], node: int) -> tuple[int, int]:
    others = graph[node]
    missing = sum(len(others - graph[other]) - 1 for other in others)
    return missing, len(others)
