"""Preference fine-tuning where every response can be counted: two prompts, two tokens of three."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.random import Generator

from .cases import complex_gradient, divergence, draws_of, softmax
from .theorem import Sides, Theorem, at_most, equal, less, unequal


PROMPTS, TOKENS = 2, 3
RESPONSES = TOKENS**2


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Task:
    """Rewards and reference probabilities `[prompts, responses]`; β; the prompts' weights."""

    reward: np.ndarray
    reference: np.ndarray
    coefficient: float
    prompts: np.ndarray
    draws: Generator

    def optimum(self, shift: np.ndarray | float = 0.0) -> np.ndarray:
        """π_ref exp(r/β)/Z, with a bonus added to the reward."""
        powers = self.reference * np.exp((self.reward + shift) / self.coefficient)
        return powers / powers.sum(axis=1, keepdims=True)

    def objective(self, policy: np.ndarray) -> np.ndarray:
        """E r − β KL(π‖π_ref), over prompts; complex and stacked policies too."""
        earned = (policy * self.reward).sum(axis=-1)
        regular = divergence(policy, self.reference)
        return np.asarray((earned - self.coefficient * regular) @ self.prompts)

    def margins(self, policy: np.ndarray) -> np.ndarray:
        """β log(π/π_ref) of the first response less that of the second, for all pairs."""
        implicit = self.coefficient * np.log(policy / self.reference)
        return implicit[:, :, None] - implicit[:, None, :]


def _random_task(key: PRNGKeyArray) -> _Task:
    draws = draws_of(key)
    return _Task(
        reward=draws.normal(size=(PROMPTS, RESPONSES)),
        reference=draws.dirichlet(np.full(RESPONSES, 3.0), PROMPTS),
        coefficient=float(draws.uniform(0.3, 2)),
        prompts=draws.dirichlet(np.full(PROMPTS, 3.0)),
        draws=draws,
    )


def _rivals(task: _Task, count: int = 30) -> np.ndarray:
    """Random policies far from the optimum and near it."""
    noise = task.draws.normal(size=(count, PROMPTS, RESPONSES))
    return softmax(
        np.log(task.optimum()) + 10 ** task.draws.uniform(-2, 0.5, (count, 1, 1)) * noise
    )


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _population_loss(task: _Task, margins: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """−E log σ(margin) for Bradley–Terry labels; `pairs`: the weight of each, `[prompts, 9, 9]`."""
    true = task.reward[:, :, None] - task.reward[:, None, :]
    return np.asarray(np.sum(pairs * _sigmoid(true) * np.log1p(np.exp(-margins))))


def _drawn_pairs(task: _Task) -> np.ndarray:
    """Both responses drawn from the reference, so that every pair occurs."""
    both = task.reference[:, :, None] * task.reference[:, None, :]
    return task.prompts[:, None, None] * both


def _closed_form(key: PRNGKeyArray) -> Sequence[Sides]:
    task = _random_task(key)
    best, rivals = task.optimum(), _rivals(task)
    normaliser = (task.reference * np.exp(task.reward / task.coefficient)).sum(axis=1)
    loss = task.coefficient * divergence(rivals, best) @ task.prompts
    slope = complex_gradient(lambda logits: task.objective(softmax(logits)), np.log(best))
    return [
        equal(
            "its value is β E log Z",
            task.objective(best),
            task.coefficient * task.prompts @ np.log(normaliser),
        ),
        equal("J(π) = J(π*) − β KL(π‖π*)", task.objective(rivals), task.objective(best) - loss),
        less("J(π) < J(π*)", task.objective(rivals), task.objective(best)),
        equal("∇J = 0 at π*", slope, 0.0),
        equal(
            "r = β log(π*/π_ref) + β log Z",
            task.reward,
            task.coefficient * np.log(best / task.reference * normaliser[:, None]),
        ),
    ]


def _reward_shift(key: PRNGKeyArray) -> Sequence[Sides]:
    task = _random_task(key)
    shift = task.draws.normal(size=(PROMPTS, 1))
    moved = dataclasses.replace(task, reward=task.reward + shift)
    policy = task.draws.dirichlet(np.ones(RESPONSES), PROMPTS)
    slopes = [
        complex_gradient(lambda x, one=one: one.objective(softmax(x)), np.log(policy))
        for one in (task, moved)
    ]
    labels = [one.reward[:, :, None] - one.reward[:, None, :] for one in (task, moved)]
    return [
        equal("π* for r and for r + c(x)", task.optimum(shift), task.optimum()),
        equal("∇J for both, at any π", slopes[1], slopes[0]),
        equal("Bradley–Terry labels for both", _sigmoid(labels[1]), _sigmoid(labels[0])),
    ]


def _by_tokens(key: PRNGKeyArray) -> Sequence[Sides]:
    task = _random_task(key)
    reference = task.reference.reshape(PROMPTS, TOKENS, TOKENS)
    reward = task.reward.reshape(PROMPTS, TOKENS, TOKENS)
    first = reference.sum(axis=2)
    second = reference / first[..., None]
    # One step of soft optimality per token: the reward comes at the end, the KL at every token.
    powers = second * np.exp(reward / task.coefficient)
    later = powers.sum(axis=2)
    start = first * later
    by_tokens = start[..., None] / start.sum(axis=1)[:, None, None] * powers / later[..., None]
    cold = by_tokens**2 / (by_tokens**2).sum(axis=2, keepdims=True)
    opening = by_tokens.sum(axis=2) ** 2
    cold = cold * (opening / opening.sum(axis=1, keepdims=True))[..., None]
    return [
        equal(
            "product of token policies = π*", by_tokens.reshape(task.reward.shape), task.optimum()
        ),
        unequal("sampled at temperature ½", cold.reshape(task.reward.shape), task.optimum()),
    ]


def _reward_model(key: PRNGKeyArray) -> Sequence[Sides]:
    task = _random_task(key)
    pairs = _drawn_pairs(task)
    loss = lambda r: _population_loss(task, r[:, :, None] - r[:, None, :], pairs)
    shifted = task.reward + task.draws.normal(size=(PROMPTS, 1))
    rivals = task.reward + task.draws.normal(size=(20, *task.reward.shape))
    return [
        equal("gradient at r*", complex_gradient(loss, task.reward), 0.0),
        equal("loss of r* + c(x)", np.real(loss(shifted)), np.real(loss(task.reward))),
        less(
            "loss of r* < any other",
            np.real(loss(task.reward)),
            [np.real(loss(rival)) for rival in rivals],
        ),
    ]


def _direct(key: PRNGKeyArray) -> Sequence[Sides]:
    task = _random_task(key)
    best, pairs = task.optimum(), _drawn_pairs(task)
    loss = lambda policy: _population_loss(task, task.margins(policy), pairs)
    slope = complex_gradient(lambda logits: loss(softmax(logits)), np.log(best))
    true = task.reward[:, :, None] - task.reward[:, None, :]
    return [
        equal(
            "σ(margins of π*) = Bradley–Terry labels", _sigmoid(task.margins(best)), _sigmoid(true)
        ),
        equal("gradient at π*", slope, 0.0),
        less(
            "loss of π* < any other",
            np.real(loss(best)),
            [np.real(loss(rival)) for rival in _rivals(task)],
            margin=1e-12,
        ),
    ]


def _direct_fails(key: PRNGKeyArray) -> Sequence[Sides]:
    task = _random_task(key)
    best, group = task.optimum(), np.arange(RESPONSES) < 4
    # Only responses of the same group are ever compared.
    pairs = _drawn_pairs(task) * (group[:, None] == group[None, :])
    moved = best * np.where(group, 2.0, 1.0)
    moved /= moved.sum(axis=1, keepdims=True)
    losses = [np.real(_population_loss(task, task.margins(pi), pairs)) for pi in (best, moved)]
    # One label, for the first response against the second: the rest of the policy stays.
    hard = []
    for share in (0.5, 0.9, 0.99, 0.999, 1 - 1e-9):
        policy = best.copy()
        policy[:, :2] = best[:, :2].sum(axis=1, keepdims=True) * np.array([share, 1 - share])
        hard.append(np.log1p(np.exp(-task.margins(policy)[0, 0, 1])))
    return [
        equal("unconnected pairs: equal losses", losses[1], losses[0]),
        unequal("... of different policies", moved, best),
        less("a hard label: the loss still falls", hard[1:], hard[:-1]),
    ]


def _divergence_estimates(key: PRNGKeyArray) -> Sequence[Sides]:
    task = _random_task(key)
    reference = task.reference[0]
    logits = np.log(task.draws.dirichlet(np.full(RESPONSES, 3.0)))
    policy = softmax(logits)
    log_ratio = lambda x: np.log(reference / softmax(x))
    estimates: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "k1": lambda x: -log_ratio(x),
        "k2": lambda x: log_ratio(x) ** 2 / 2,
        "k3": lambda x: np.exp(log_ratio(x)) - 1 - log_ratio(x),
    }
    # As a loss: the samples are given, only the estimate is differentiated.
    slopes = {
        name: complex_gradient(lambda x, k=k: policy @ k(x), logits)
        for name, k in estimates.items()
    }
    means = {name: float(np.real(policy @ k(logits))) for name, k in estimates.items()}
    forward = complex_gradient(lambda x: divergence(reference, softmax(x)), logits)
    reverse = complex_gradient(lambda x: divergence(softmax(x), reference), logits)
    score = np.eye(RESPONSES) - policy
    return [
        equal("E ∇k1 = 0", slopes["k1"], 0.0),
        equal("E ∇k2 = ∇KL(π‖ref)", slopes["k2"], reverse),
        equal("E ∇k3 = ∇KL(ref‖π)", slopes["k3"], forward),
        unequal("E ∇k3 against ∇KL(π‖ref)", slopes["k3"], reverse),
        equal(
            "in the reward: E k1 ∇log π = ∇KL(π‖ref)",
            (policy * -log_ratio(logits)) @ score,
            reverse,
        ),
        equal("E k1 = E k3 = KL(π‖ref)", [means["k1"], means["k3"]], divergence(policy, reference)),
        unequal("E k2 against KL(π‖ref)", [means["k2"]], divergence(policy, reference)),
        at_most("0 ≤ k3", 0.0, np.real(estimates["k3"](logits))),
    ]


THEOREMS = (
    Theorem(
        name="optimum of preference fine-tuning",
        statement="π_ref exp(r/β)/Z maximises E r − β KL(π‖π_ref); the rest lose β KL(π‖π*).",
        source="004 §6.1.2, lemma 28; Rafailov et al. (2023), eq. 4",
        check=_closed_form,
    ),
    Theorem(
        name="rewards up to a function of the prompt",
        statement="r + c(x) has the optimum, the gradients and the preferences of r.",
        source="004 §6.1; Rafailov et al. (2023), lemmas 1 and 2",
        check=_reward_shift,
    ),
    Theorem(
        name="fine-tuning token by token",
        statement="KL paid at every token, γ = 1, sampling temperature 1: the optimum is the same.",
        source="004 §6.1.1; Rafailov et al. (2024), section 4",
        check=_by_tokens,
    ),
    Theorem(
        name="reward model",
        statement="The Bradley–Terry likelihood is greatest at r*, up to c(x).",
        source="004 §6.1.1; Rafailov et al. (2023), eq. 2",
        check=_reward_model,
    ),
    Theorem(
        name="direct preference optimisation",
        statement="Its population loss is least at the optimum of fine-tuning.",
        source="004 §6.1.2; Rafailov et al. (2023), eq. 7",
        check=_direct,
    ),
    Theorem(
        name="direct preference optimisation, what it needs",
        statement="Pairs that connect all responses, and labels that are not certain.",
        source="004 §6.1.2; Azar et al. (2024), section 4.2",
        check=_direct_fails,
    ),
    Theorem(
        name="estimates of the divergence as losses",
        statement="E∇k1 = 0, E∇k2 = ∇KL(π‖ref), E∇k3 = ∇KL(ref‖π).",
        source="004 §6.1.1; Schulman (2020), on k1, k2 and k3",
        check=_divergence_estimates,
    ),
)
