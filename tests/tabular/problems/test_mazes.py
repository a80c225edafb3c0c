"""The mazes against a search for shortest paths, and problems that change."""

import dataclasses
from collections import deque

import numpy as np
import pytest

from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.problems.problem import Change, phases, with_discount
from rewardtogo.tabular.solvers.solve import solve
from rewardtogo.tabular.successors import dense


# The book's figures, by hand: "#" is a wall.
DRAWN = {
    "DynaMaze": ".......#G/..#....#./S.#....#./..#....../.....#.../.........",
    "BlockingMaze": "........G/........./........./########./........./...S.....",
    "BlockingMaze-after": "........G/........./........./.########/........./...S.....",
    "ShortcutMaze": "........G/........./........./.########/........./...S.....",
    "ShortcutMaze-after": "........G/........./........./.#######./........./...S.....",
}
LENGTHS = {
    "DynaMaze": 14,
    "BlockingMaze": 10,
    "BlockingMaze-after": 16,
    "ShortcutMaze": 16,
    "ShortcutMaze-after": 10,
}


def distances(drawn):
    """Steps to the goal from every cell from which it can be reached, by breadth-first search."""
    rows = drawn.split("/")
    goal = next((i, row.index("G")) for i, row in enumerate(rows) if "G" in row)
    found, queue = {goal: 0}, deque([goal])
    while queue:
        i, j = queue.popleft()
        for near in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            inside = 0 <= near[0] < len(rows) and 0 <= near[1] < len(rows[0])
            if inside and rows[near[0]][near[1]] != "#" and near not in found:
                found[near] = found[i, j] + 1
                queue.append(near)
    return found


@pytest.mark.parametrize("name", DRAWN)
def test_values_are_those_of_shortest_paths(name):
    """V* = γ^(d-1), d steps from the goal: the last of them pays 1."""
    values = solve(problem(name).mdp, tolerance=1e-10).values
    found = distances(DRAWN[name])
    for (i, j), steps in found.items():
        expected = 0.0 if steps == 0 else 0.95 ** (steps - 1)
        assert abs(values[9 * i + j] - expected) < 1e-9
    rows = DRAWN[name].split("/")
    start = next((i, row.index("S")) for i, row in enumerate(rows) if "S" in row)
    assert found[start] == LENGTHS[name]
    assert np.asarray(problem(name).mdp.initial)[9 * start[0] + start[1]] == 1


@pytest.mark.parametrize("name", DRAWN)
def test_walls_are_not_entered_nor_drawn(name):
    found = problem(name)
    wall = np.array([cell == "#" for cell in DRAWN[name].replace("/", "")])
    assert found.grid is not None and np.array_equal(found.grid.cell == -1, wall)
    moves = dense(found.mdp).transition.sum(axis=1) * (1 - np.eye(54))
    assert np.all(moves[:, wall] == 0)
    assert np.all(moves[wall].sum(axis=1) > 0)  # one who stands where a wall comes up can leave


@pytest.mark.parametrize(("name", "step"), [("BlockingMaze", 1000), ("ShortcutMaze", 3000)])
def test_a_maze_becomes_its_after(name, step):
    (_, first), (when, then) = phases(problem(name))
    assert first.name == name and when == step
    after = problem(f"{name}-after")
    assert then.name == after.name and then.change is None
    before, now, expected = (dense(p.mdp).transition for p in (first, then, after))
    assert np.array_equal(now, expected) and not np.array_equal(now, before)


def test_a_discount_is_that_of_all_phases():
    assert [p.mdp.discount for _, p in phases(problem("BlockingMaze", discount=0.5))] == [0.5, 0.5]


def test_a_problem_may_change_and_change_back():
    maze, after = problem("BlockingMaze"), problem("BlockingMaze-after")
    still = dataclasses.replace(maze, change=None)
    there = dataclasses.replace(after, change=Change(7, still))
    twice = dataclasses.replace(maze, change=Change(3, there))
    assert [step for step, _ in phases(twice)] == [0, 3, 7]
    assert [p.mdp.discount for _, p in phases(with_discount(twice, 0.1))] == [0.1] * 3
    with pytest.raises(ValueError, match="`change` at step 7 is followed by one at step 7"):
        dataclasses.replace(maze, change=Change(7, there))


@pytest.mark.parametrize("step", [0, -1])
def test_the_step_of_a_change_is_counted_from_one(step):
    with pytest.raises(ValueError, match="`step` must be a whole number, at least 1; got"):
        Change(step, problem("Chain"))


@pytest.mark.parametrize(
    ("to", "said"),
    [
        (
            lambda: problem("Chain"),
            r"`change` must keep \(54, 4\) states and actions; got \(5, 2\)",
        ),
        (lambda: problem("DynaMaze", discount=0.9), "`change` must keep `discount`, 0.95; got 0.9"),
        (lambda: problem("Garnet-54-4-2"), "`change` must keep the terminal states"),
    ],
)
def test_a_problem_can_only_become_one_like_it(to, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(problem("DynaMaze"), change=Change(10, to()))
