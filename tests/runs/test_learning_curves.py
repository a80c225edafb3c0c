import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from rewardtogo.files import write_json
from rewardtogo.runs.folder import RunFolder
from rewardtogo.runs.learning_curves import figure, learning_curves
from rewardtogo.runs.metrics import MetricsWriter


@pytest.fixture
def make_run(tmp_path):
    def make(name, *, algorithm="ppo", environment="A", seeds=2, tags=("rollout/ep_rew_mean",)):
        folder = RunFolder.create(tmp_path / name)
        write_json(folder.settings, {"algorithm": algorithm, "environment": environment})
        with MetricsWriter(folder.metrics) as writer:
            for i in range(1, 5):
                common = {"iteration": i, "time/total_timesteps": 100 * i}
                figures = {tag: 10 * k + i if i > 1 else None for k, tag in enumerate(tags)}
                writer.write({"seed": s, **common, **figures} for s in range(seeds))
        return folder.path

    return make


def legend(drawing):
    return [text.get_text() for text in drawing.axes[0].get_legend().get_texts()]


def test_every_seed_is_thin_the_mean_bold_and_absent_points_absent(make_run):
    drawing = figure([make_run("x", seeds=3)])
    (axes,) = drawing.axes
    *thin, bold = axes.get_lines()
    assert len(thin) == 3 and len(axes.collections) == 1
    assert all(line.get_linewidth() < bold.get_linewidth() for line in thin)
    for line in (*thin, bold):
        assert np.array_equal(line.get_xdata(), [200, 300, 400])
        assert np.array_equal(line.get_ydata(), [2, 3, 4])
    assert axes.get_xlabel() == "environment steps per seed"
    assert axes.get_ylabel() == "return, training episodes"
    assert axes.get_title(loc="left") == "A"
    assert legend(drawing) == ["ppo (interquartile mean of 3 seeds, 95 % interval)"]


def test_one_seed_has_one_line_and_no_band(make_run):
    drawing = figure([make_run("x", seeds=1)], statistic=np.mean)
    assert len(drawing.axes[0].get_lines()) == 1 and not drawing.axes[0].collections
    assert legend(drawing) == ["ppo (1 seed)"]


def test_evaluations_are_drawn_where_every_run_has_them(make_run):
    both = make_run("x", tags=("rollout/ep_rew_mean", "eval/mean_reward"))
    label = lambda drawing: drawing.axes[0].get_ylabel()
    assert label(figure([both])) == "return, evaluation"
    assert np.array_equal(figure([both]).axes[0].get_lines()[-1].get_ydata(), [12, 13, 14])
    assert label(figure([both, make_run("y")])) == "return, training episodes"
    assert label(figure([both], tag="rollout/ep_rew_mean")) == "return, training episodes"


def test_runs_are_told_apart_by_what_differs(make_run):
    ppo, dqn = make_run("x"), make_run("y", algorithm="dqn")
    ppo_b, again = make_run("z", environment="B"), make_run("again")
    first_words = lambda runs, **o: [text.split(" (")[0] for text in legend(figure(runs, **o))]
    assert first_words([ppo, dqn]) == ["ppo", "dqn"]
    assert first_words([ppo, ppo_b]) == ["ppo A", "ppo B"]
    assert first_words([ppo, again, dqn]) == ["x", "again", "dqn"]
    assert first_words([ppo, dqn], labels=["1", "2"]) == ["1", "2"]
    assert first_words([ppo], reference=3.0, reference_label="random") == ["ppo", "random"]
    colours = {line.get_color() for line in figure([ppo, dqn]).axes[0].get_lines()}
    assert len(colours) == 2


def test_the_picture_is_written(make_run, tmp_path):
    path = learning_curves([make_run("x")], tmp_path / "new" / "curve.png")
    picture = imread(path)
    assert picture.shape[:2] == (660, 1080) and picture.min() < 0.5 < picture.max()
    assert [p.name for p in path.parent.iterdir()] == ["curve.png"]
    with pytest.raises(ValueError, match=r"c\.xyz: the suffix must be one of .*png"):
        learning_curves([make_run("y")], tmp_path / "c.xyz")


def test_a_folder_without_rows_is_named(make_run, tmp_path):
    empty = RunFolder.create(tmp_path / "empty").path
    with pytest.raises(ValueError, match=r"empty/metrics\.jsonl has no row with 'rollout"):
        figure([make_run("x"), empty])
    with pytest.raises(ValueError, match="no row with 'loss'"):
        figure([tmp_path / "x"], tag="loss")
    with pytest.raises(ValueError, match="no runs"):
        figure([])
    with pytest.raises(ValueError, match="1 runs need as many labels, got 2"):
        figure([tmp_path / "x"], labels=["1", "2"])


def test_without_matplotlib_the_extra_is_named(make_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "rewardtogo\[plot\]"'):
        figure([make_run("x")])


def test_importing_the_module_imports_no_matplotlib():
    code = "import sys, rewardtogo.runs.learning_curves; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
