"""Dyna-Q and Dyna-Q+ against the book's box, run by hand with the same numbers."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from rewardtogo.tabular.problems.catalogue import problem
from rewardtogo.tabular.successors import dense
from rewardtogo.td.control.dyna import DynaQ, DynaQPlus
from rewardtogo.td.control.one_step import QLearning
from rewardtogo.td.control.run import control
from rewardtogo.td.steps.dynamics import Experience, dynamics
from rewardtogo.td.steps.exploration import EpsilonGreedyExploration
from rewardtogo.td.steps.models import Frequencies, LastOutcome
from rewardtogo.td.steps.step_sizes import ConstantStepSize, PolynomialStepSize
from rewardtogo.td.values.action_values import untouched_table


STEPS, PLANNING, LIMIT = 400, 3, 12
EXPLORE = EpsilonGreedyExploration(0.3)


def stream(method, mdp):
    """The learner's values at the end, the steps it took, and the numbers that it planned with."""
    control_problem = dynamics(mdp, max_steps=LIMIT)
    q = jnp.zeros((control_problem.num_states, control_problem.num_actions))

    def step(carry, numbers):
        learned, place = carry
        action = method.act(learned, place.state, place.time == 0, numbers[0])
        place, seen = control_problem.step(place, action, numbers[1:4])
        learned = method.update(learned, seen, numbers[4:], discount=0.9)
        return (learned, place), seen

    numbers = jr.uniform(jr.key(0), (STEPS, 4 + method.num_draws))
    first = method.init(untouched_table(q)), control_problem.begin(jnp.asarray(0.5))
    (learned, _), seen = jax.jit(lambda: jax.lax.scan(step, first, numbers))()
    return method.values(learned).q, jax.tree.map(np.asarray, seen), np.asarray(numbers[:, 4:])


class Book:
    """Sutton and Barto (2018), section 8.2, with the footnote of 8.3 where there is a bonus."""

    def __init__(self, shape, gamma, bonus, frequencies):
        self.q, self.n = np.zeros(shape), np.zeros(shape)
        self.actions = range(shape[1])
        self.gamma, self.bonus, self.frequencies = gamma, bonus, frequencies
        self.history, self.visited, self.tried = {}, [], {}
        self.clock = 0

    def learn(self, s, a, r, s2):
        self.n[s, a] += 1
        target = r + self.gamma * max(self.q[s2])
        self.q[s, a] += self.n[s, a] ** -0.7 * (target - self.q[s, a])

    def imagined(self, s, a, draws):
        past = self.history.get((s, a), [(0.0, s)])
        if not self.frequencies:
            return past[-1]
        mean = sum(r for r, _ in past) / len(past)
        # Of all that happened there each time is equally likely.
        return mean, sorted(s2 for _, s2 in past)[int(draws[0] * len(past))]

    def step(self, real, draws):
        s, a, r, s2 = real
        self.clock += 1
        self.learn(s, a, r, s2)
        self.history.setdefault((s, a), []).append((r, s2))
        self.tried[s, a] = self.clock
        if s not in self.visited:
            self.visited.append(s)
        for own in draws:
            s = self.visited[int(own[0] * len(self.visited))]
            choice = [a for a in self.actions if self.bonus or (s, a) in self.tried]
            a = choice[int(own[1] * len(choice))]
            r, s2 = self.imagined(s, a, own[2:])
            if self.bonus:
                r += self.bonus * np.sqrt(self.clock - self.tried.get((s, a), 0))
            self.learn(s, a, r, s2)


@pytest.mark.parametrize("model", [LastOutcome(), Frequencies()])
@pytest.mark.parametrize("bonus", [None, 0.05])
@pytest.mark.parametrize("name", ["SlipperyGrid-2x3", "RandomWalk-5"])
def test_every_step_is_the_books(name, bonus, model, x64):
    """Real and imagined updates, with ends and cuts, on slippery ice and along a line."""
    mdp = problem(name, discount=0.9).mdp
    settings = {"exploration": EXPLORE, "step_size": PolynomialStepSize(0.7), "model": model}
    settings |= {"planning_steps": PLANNING}
    method = DynaQ(**settings) if bonus is None else DynaQPlus(**settings, bonus=bonus)
    q, seen, draws = stream(method, mdp)
    book = Book(q.shape, 0.9, bonus, isinstance(model, Frequencies))
    for t in range(STEPS):
        real = seen.state[t], seen.action[t], seen.reward[t], seen.next_state[t]
        book.step(real, draws[t].reshape(PLANNING, -1))
    assert np.abs(q - book.q).max() < 1e-12
    assert seen.terminated.sum() > 10 and np.abs(q).max() > 0.01


@pytest.mark.parametrize("kind", [DynaQ, DynaQPlus])
def test_without_planning_it_is_q_learning_to_the_last_bit(kind):
    named = problem("FrozenLake-v1")
    plain = control(named, QLearning(), steps=3000, seeds=2)
    dyna = control(named, kind(planning_steps=0), steps=3000, seeds=2)
    assert np.array_equal(plain.action_values, dyna.action_values)
    assert np.array_equal(plain.regret, dyna.regret)


def test_planning_finds_the_shortest_path_in_fewer_steps():
    """Example 8.1 in 1000 steps; without planning they are hardly enough for one episode."""
    maze, size = problem("DynaMaze"), ConstantStepSize(0.1)
    few = EpsilonGreedyExploration(0.1)
    results = [
        control(maze, DynaQ(few, size, planning_steps=n), steps=3000, seeds=4) for n in (0, 50)
    ]
    plain, planning = (r.value[:, -1] for r in results)
    assert planning.min() > 0.9 * 0.95**13 > plain.max()
    assert np.all(results[1].reward[:, -1] > 5 * results[0].reward[:, -1])


def test_curiosity_finds_the_shortcut():
    """Example 8.3: the path of 10 steps is found by the bonus, and by ε = 0.1 alone not."""
    maze, few, size = problem("ShortcutMaze"), EpsilonGreedyExploration(0.1), ConstantStepSize(1.0)
    plain = control(maze, DynaQ(few, size, planning_steps=50), steps=6000, seeds=4)
    curious = control(maze, DynaQPlus(few, size, planning_steps=50), steps=6000, seeds=4)
    assert np.all(plain.value[:, -1] < 0.95**14)
    assert np.all(curious.value[:, -10:].max(axis=1) > 0.95**10)


def test_frequencies_imagine_what_happened_as_often_as_it_did(x64):
    """Over a grid of numbers each successor has its share, and rewards are their mean."""
    mdp, rng = dense(problem("FrozenLake-v1").mdp), np.random.default_rng(0)
    model, pair = Frequencies(), (jnp.asarray(6), jnp.asarray(1))
    known, no = model.init(16, 4), jnp.asarray(False)
    to = rng.choice(16, size=40, p=np.asarray(mdp.transition)[6, 1])
    rewards = rng.normal(size=40)
    update = jax.jit(model.update)
    for s2, r in zip(to, rewards, strict=True):
        known = update(known, Experience(*pair, jnp.asarray(r), jnp.asarray(s2), no, no))
    grid = (jnp.arange(4000) + 0.5) / 4000
    reward, successor = jax.vmap(lambda u: model.step(known, *pair, u[None]))(grid)
    shares = np.bincount(np.asarray(successor), minlength=16) / 4000
    assert np.allclose(shares, np.bincount(to, minlength=16) / 40)
    assert np.allclose(reward, rewards.mean(), rtol=1e-12)
    untried = model.step(known, jnp.asarray(3), jnp.asarray(2), grid[:1])
    assert untried[0] == 0 and untried[1] == 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: DynaQ(planning_steps=-1), "`planning_steps`.*at least 0; got -1"),
        (lambda: DynaQPlus(planning_steps=-1), "`planning_steps`.*at least 0; got -1"),
        (lambda: DynaQPlus(bonus=-0.1), r"`bonus` must lie in \[0, inf\); got -0.1"),
        (lambda: DynaQPlus(bonus=float("inf")), r"`bonus` must lie in \[0, inf\); got inf"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong()
