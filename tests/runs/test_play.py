import sys

import gymnasium as gym
import pytest
from PIL import Image

import rewardtogo as rtg
from rewardtogo.runs.fit import run as fit_settings
from rewardtogo.runs.play import play
from short_runs import (
    compile_cache,  # noqa: F401
    copy_of,
    finished_run,
    scratch,
    short_run,
)


def frames_of(picture):
    return getattr(picture, "n_frames", 1)


def walking_run():
    path = scratch() / "walk"
    if not path.exists():
        settings = short_run(64, environment="own_environments:Walk-v0", seeds=1, eval_episodes=1)
        fit_settings(settings, run_dir=path, quiet=True)
    return path


def test_a_moving_picture_of_every_state(tmp_path):
    """Walk paints its time: 21 states of an episode are 21 shades."""
    (value,) = play(walking_run(), tmp_path / "deep" / "walk.gif")
    with Image.open(tmp_path / "deep" / "walk.gif") as picture:
        assert picture.size == (30, 20)
        assert frames_of(picture) == 21
        shades = []
        for frame in range(21):
            picture.seek(frame)
            shades.append(picture.convert("L").getpixel((0, 0)))
    assert shades == [10 * time for time in range(21)]
    assert 0 <= value <= 20


def test_cartpole_without_a_display(tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    returns = play(finished_run(), tmp_path / "out.gif", num_episodes=2, max_steps=12)
    assert len(returns) == 2 and all(0 < value <= 12 for value in returns)
    with Image.open(tmp_path / "out.gif") as picture:
        assert picture.size == (600, 400)


def test_the_episodes_are_those_of_its_seeds(tmp_path):
    """The return is that of the same policy in Gymnasium's own environment."""
    (value,) = play(finished_run(), tmp_path / "out.png", seed=5, training_seed=1)
    env, predictor = gym.make("CartPole-v1"), rtg.load(finished_run(), seed=1)
    observation, _ = env.reset(seed=5)
    total, ended = 0.0, False
    while not ended:
        action, _ = predictor.predict(observation)
        observation, reward, terminated, truncated, _ = env.step(int(action))
        total, ended = total + float(reward), terminated or truncated
    assert value == total


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_environments:Line", "has no pictures to show"),
        ("tabular:ShortCorridor", "MDP without a picture: Gymnasium has no 'ShortCorridor'"),
    ],
)
def test_what_has_no_gymnasium_twin_has_no_pictures(tmp_path, name, message):
    run = copy_of(finished_run(), tmp_path / "run")
    text = (run / "settings.json").read_text()
    (run / "settings.json").write_text(text.replace("CartPole-v1", name))
    with pytest.raises(ValueError, match=message):
        play(run, tmp_path / "out.gif")


def test_a_finite_mdp_is_seen_in_its_gymnasium_twin(tmp_path):
    settings = short_run(64, environment="tabular:FrozenLake-v1", seeds=1, eval_episodes=1)
    fit_settings(settings, run_dir=tmp_path / "run", quiet=True)
    play(tmp_path / "run", tmp_path / "out.gif", max_steps=3)
    with Image.open(tmp_path / "out.gif") as picture:
        assert picture.size == (256, 256)


def test_what_cannot_be_rendered_says_so(tmp_path, monkeypatch):
    from own_environments import Walk

    monkeypatch.setattr(Walk, "render", lambda self: "text")
    with pytest.raises(ValueError, match="renders str, not an RGB array"):
        play(walking_run(), tmp_path / "out.gif")


def test_without_pillow_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'pip install "rewardtogo\[gym\]"'):
        play(finished_run(), tmp_path / "out.gif")
