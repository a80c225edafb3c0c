import dataclasses
import re

import equinox as eqx
import jax
import jax.random as jr
import pytest

import rewardtogo as rtg
from rewardtogo.algorithms.normalised import Normalised
from rewardtogo.nn.actor_critic import ActorCritic
from rewardtogo.nn.shared import SharedActorCritic
from rewardtogo.recipes import RECIPES, TUNED, default_recipe
from rewardtogo.sources.task import make_task


def task(name):
    return make_task(name, num_seeds=1, run_seed=0)


CARTPOLE, PENDULUM = task("CartPole-v1"), task("Pendulum-v1")


@pytest.mark.parametrize(("algorithm", "environment"), TUNED, ids="-".join)
def test_tuned_settings_fit_their_environment(algorithm, environment):
    recipe = default_recipe(algorithm, environment)
    assert isinstance(recipe, RECIPES[algorithm])
    recipe.build(task(environment))


@pytest.mark.parametrize("algorithm", RECIPES)
def test_general_settings_fit_every_environment_that_the_algorithm_takes(algorithm):
    recipe = RECIPES[algorithm]()
    fitting = [w for w in (CARTPOLE, PENDULUM) if isinstance(w.action_space, recipe.action_spaces)]
    assert fitting
    for each in fitting:
        recipe.build(each)


@pytest.mark.parametrize("place", [CARTPOLE, PENDULUM])
def test_a_shared_trunk_is_there_where_it_is_asked_for(place):
    for shared, kind in ((True, SharedActorCritic), (False, ActorCritic)):
        built = dataclasses.replace(RECIPES["ppo"](), shared_trunk=shared).build(place)
        assert isinstance(eqx.filter_eval_shape(built.models, jr.key(0)), kind)


def test_a_misspelt_algorithm_is_guessed():
    with pytest.raises(ValueError, match=r"Unknown algorithm `sec`\. Did you mean `sac`"):
        default_recipe("sec", "CartPole-v1")


@pytest.mark.parametrize(
    ("algorithm", "place", "words"),
    [
        ("dqn", PENDULUM, "DQN needs a Discrete action space; Pendulum-v1 has Box"),
        ("sac", CARTPOLE, "SAC needs a Box action space; CartPole-v1 has Discrete.*`discrete-sac`"),
        ("sac-v", CARTPOLE, "SACV needs a Box action space; .* `discrete-sac` takes discrete"),
        ("discrete-sac", PENDULUM, "DiscreteSAC needs a Discrete action space; .* `sac` takes"),
    ],
)
def test_an_algorithm_on_the_wrong_actions(algorithm, place, words):
    with pytest.raises(ValueError, match=words):
        RECIPES[algorithm]().build(place)


@pytest.mark.parametrize(
    ("algorithm", "place", "change", "words"),
    [
        ("ppo", CARTPOLE, {"num_envs": 0}, "`num_envs`.*got 0"),
        ("ppo", CARTPOLE, {"num_steps": -1}, "`num_steps`.*got -1"),
        ("ppo", CARTPOLE, {"hidden": (0,)}, "`hidden`.*got 0"),
        ("ppo", CARTPOLE, {"hidden": (64, -1)}, "`hidden`.*got -1"),
        ("ppo", CARTPOLE, {"num_envs": 3, "num_steps": 5}, r"`num_minibatches` \(4\).*= 15"),
        (
            "ppo",
            CARTPOLE,
            {"algorithm": rtg.PPO(sequence_length=16)},
            r"`sequence_length` \(16\) is for networks that remember",
        ),
        ("ppo", CARTPOLE, {"shared_trunk": True, "hidden": ()}, "trunk needs layers: `hidden`"),
        ("reinforce", CARTPOLE, {"num_episodes": 0}, "`num_episodes`.*got 0"),
        ("reinforce", CARTPOLE, {"num_episodes": 1}, "at least 2"),  # leaves none out
        ("reinforce", CARTPOLE, {"max_episode_steps": -3}, "`max_episode_steps`.*got -3"),
        (
            "reinforce",
            CARTPOLE,
            {
                "num_episodes": 1,
                "algorithm": rtg.REINFORCE(baseline=rtg.algorithms.Baseline.OPTIMAL),
            },
            "at least 2",
        ),
        ("a2c", CARTPOLE, {"num_envs": 0}, "`num_envs`.*got 0"),
        ("a2c", CARTPOLE, {"num_steps": -1}, "`num_steps`.*got -1"),
        ("dqn", CARTPOLE, {"batch_size": 0}, "`batch_size`.*got 0"),
        ("dqn", CARTPOLE, {"num_updates": 0}, "`num_updates`.*got 0"),
        ("dqn", CARTPOLE, {"buffer_size": -1}, "`buffer_size`.*got -1"),
        ("dqn", CARTPOLE, {"learning_starts": 0}, "`learning_starts`.*got 0"),
        ("dqn", CARTPOLE, {"buffer_size": 999}, r"`learning_starts` \(1000\).*\(999\)"),
        ("dqn", CARTPOLE, {"total_steps": 1000}, r"`total_steps` \(1000\) must exceed"),
        ("dqn", CARTPOLE, {"n_step": 0}, "`n_step` must be a whole number, at least 1; got 0"),
        ("dqn", CARTPOLE, {"prioritised": True, "priority_exponent": 2.0}, "`priority_exponent`"),
        (
            "dqn",
            CARTPOLE,
            {"importance_exponent": 0.5},
            "`importance_exponent` is for prioritised replay, which is not chosen; got 0.5",
        ),
        ("sac", PENDULUM, {"batch_size": 0}, "`batch_size`.*got 0"),
        ("sac", PENDULUM, {"total_steps": 1000}, r"`total_steps` \(1000\) must exceed"),
    ],
)
def test_what_cannot_be_is_refused(algorithm, place, change, words):
    recipe = dataclasses.replace(RECIPES[algorithm](), **change)
    with pytest.raises(ValueError, match=words):
        recipe.build(place)


def test_what_is_given_to_prioritised_replay_arrives():
    """All options; without them the class's own defaults; and to uniform replay its two."""
    recipe = rtg.DQNRecipe(algorithm=rtg.DQN(discount=0.9), n_step=3)
    uniform = recipe.build(CARTPOLE).source.buffer
    assert isinstance(uniform, rtg.Replay)
    assert (uniform.num_return_steps, uniform.discount) == (3, 0.9)
    recipe = dataclasses.replace(recipe, prioritised=True)
    assert recipe.build(CARTPOLE).source.buffer == rtg.PrioritisedReplay(uniform, warmup_gathers=63)
    given = {
        "priority_exponent": 0.5,
        "priority_offset": 0.1,
        "importance_exponent": 0.7,
        "importance_updates": 9,
    }
    source = dataclasses.replace(recipe, **given).build(CARTPOLE).source
    expected = rtg.PrioritisedReplay(uniform, warmup_gathers=63, **given)
    assert source.buffer == expected and source.warmup_gathers == 63


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: rtg.PPO(discount=1.5), r"`discount` must lie in \[0, 1\]; got 1.5"),
        (lambda: rtg.PPO(discount=-0.1), "`discount`.*got -0.1"),
        (lambda: rtg.PPO(trace_decay=1.01), r"`trace_decay` must lie in \[0, 1\]"),
        (lambda: rtg.PPO(clip=0.0), "`clip`.*got 0"),
        (lambda: rtg.PPO(clip=-0.2), "`clip`.*got -0.2"),
        (lambda: rtg.PPO(learning_rate=0.0), "`learning_rate`.*got 0"),
        (lambda: rtg.PPO(num_minibatches=0), "`num_minibatches`.*got 0"),
        (lambda: rtg.PPO(num_epochs=-1), "`num_epochs`.*got -1"),
        (lambda: rtg.DQN(polyak_rate=0.0), r"`polyak_rate` must lie in \(0, 1\]; got 0"),
        (lambda: rtg.SAC(polyak_rate=2.0), r"`polyak_rate` must lie in \(0, 1\]; got 2"),
        (lambda: rtg.SAC(learning_rate=-1.0), "`learning_rate`.*got -1"),
        (lambda: rtg.REINFORCE(discount=2.0), "`discount`.*got 2"),
    ],
)
def test_hyperparameters_out_of_range_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_normalisation_needs_boxes():
    place = make_task("FrozenLake-v1", num_seeds=1, run_seed=0)
    recipe = dataclasses.replace(RECIPES["dqn"](), normalise_observation=True)
    with pytest.raises(ValueError, match="`normalise_observation` needs a box"):
        recipe.build(place)


@pytest.mark.parametrize("observations", [True, False])
@pytest.mark.parametrize("rewards", [True, False])
def test_normalisation_is_there_where_it_is_asked_for(observations, rewards):
    recipe = dataclasses.replace(
        RECIPES["ppo"](), normalise_observation=observations, normalise_reward=rewards
    )
    algorithm = recipe.build(CARTPOLE).learner
    assert isinstance(algorithm, Normalised) == (observations or rewards)
    if isinstance(algorithm, Normalised):
        assert (algorithm.observations, algorithm.rewards) == (observations, rewards)
        assert algorithm.discount == recipe.algorithm.discount


def test_an_episode_needs_a_limit_for_reinforce():
    place = make_task("own_environments:Line", num_seeds=1, run_seed=0)
    with pytest.raises(ValueError, match="set `max_episode_steps`"):
        RECIPES["reinforce"]().build(place)
    dataclasses.replace(RECIPES["reinforce"](), max_episode_steps=20).build(place)


@pytest.mark.parametrize("baseline", rtg.algorithms.Baseline, ids=lambda b: b.value)
def test_reinforce_is_given_what_its_baseline_needs(baseline):
    """And keeps nothing beside the policy where the baseline remembers nothing."""
    recipe = rtg.REINFORCERecipe(algorithm=rtg.REINFORCE(baseline=baseline), max_episode_steps=30)
    ingredients = recipe.build(CARTPOLE)
    state = eqx.filter_eval_shape(
        lambda key: ingredients.learner.init(ingredients.models(key)), jax.random.key(0)
    )
    kept = {
        rtg.algorithms.Baseline.PAST_MEAN: [(), ()],
        rtg.algorithms.Baseline.PAST_MEAN_BY_TIME: [(30,), ()],
    }.get(baseline, [])
    if baseline is not rtg.algorithms.Baseline.LEARNED:
        assert [leaf.shape for leaf in jax.tree.leaves(state.baseline)] == kept
    else:
        assert state.baseline.model.value.layers[0].weight.shape == (4, 64)


def test_every_setting_has_a_word_of_explanation():
    """The command shows them: `rtg train ppo --help` reads well."""
    import inspect

    for recipe in RECIPES.values():
        for kind in (recipe, type(recipe().algorithm)):
            ours = [k for k in kind.__mro__ if k.__module__.startswith("rewardtogo")]
            sources = [inspect.getsource(k) for k in ours]
            for field in dataclasses.fields(kind):
                explained = rf'^    {field.name}: .*\n    """'  # there, or where it is inherited
                assert any(re.search(explained, s, re.M) for s in sources), field.name
