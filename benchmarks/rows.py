"""The benchmarks: who does which work, and what is to be reached."""

from dataclasses import dataclass
from pathlib import Path

from .goals import CALL, IMPORT, SOLVE, STEPS, UPDATES, WHOLE, AtMost, Faster, Figure, Goal
from .workers import Command


@dataclass(frozen=True)
class Row:
    """One line of the page."""

    key: str
    work: str
    figure: Figure
    ours: Command
    peers: tuple[Command, ...]
    reach: tuple[Goal, ...]
    aim: tuple[Goal, ...]
    note: str = ""


def rows(purejaxrl: Path | None) -> tuple[Row, ...]:
    """All of them; `purejaxrl` is a clone of PureJaxRL, where there is one."""
    return (
        _ppo("ppo-1", 1, purejaxrl),
        _ppo("ppo-8", 8, purejaxrl),
        _ppo("ppo-32", 32, purejaxrl),
        _ppo_breakout(purejaxrl),
        PPO_GYM,
        A2C,
        TRPO,
        SAC,
        TD3,
        DQN,
        DQN_SEEDS,
        WHOLE_PROCESS,
        GAE,
        Q_LEARNING,
        SOLVE_GRID,
        SOLVE_DENSE,
        *SOLVE_SPARSE,
    )


def _ppo(key: str, seeds: int, purejaxrl: Path | None) -> Row:
    """PPO on CartPole; PureJaxRL is the faster peer, so without it the goal is higher."""
    arguments, quick = ("--seeds", str(seeds)), ("--total-steps", "51200")
    ours = Command("rewardtogo", "ppo_cartpole", None, arguments, quick)
    peers = (Command("rejax", "ppo_rejax", "jax", arguments, quick),)
    alone, both, aim = (1.4, 1.2, 1.4) if seeds == 1 else (1.75, 1.25, 1.5)
    reach: tuple[Goal, ...] = (Faster(alone, ("rejax",)),)
    if purejaxrl is not None:
        peers = (_purejaxrl(purejaxrl, arguments, quick), *peers)
        reach = (Faster(both, ("PureJaxRL", "rejax")),)
    return Row(
        key=key,
        work=f"PPO CartPole-v1, 4 × 128 steps, {'one seed' if seeds == 1 else f'{seeds} seeds'}",
        figure=STEPS,
        ours=ours,
        peers=peers,
        reach=reach,
        aim=() if purejaxrl is None else (Faster(aim, ("PureJaxRL", "rejax")),),
        note=""
        if purejaxrl
        else "Without PureJaxRL, which is 1.1–1.4 × rejax; so the reach is higher.",
    )


def _purejaxrl(folder: Path, arguments: tuple[str, ...], quick: tuple[str, ...]) -> Command:
    where = ("--folder", str(folder))
    return Command("PureJaxRL", "ppo_purejaxrl", "jax", (*arguments, *where), quick)


def _ppo_breakout(purejaxrl: Path | None) -> Row:
    """PPO on MinAtar's Breakout, ours against gymnax's."""
    arguments, quick = ("--environment", "Breakout-MinAtar"), ("--total-steps", "65536")
    peers = (Command("rejax", "ppo_rejax", "jax", arguments, quick),)
    if purejaxrl is not None:
        peers = (_purejaxrl(purejaxrl, arguments, quick), *peers)
    return Row(
        key="ppo-breakout",
        work="PPO MinAtar Breakout, 64 × 128 steps, 8 minibatches, the board flat into 64×64",
        figure=STEPS,
        ours=Command("rewardtogo", "ppo_breakout", quick=quick),
        peers=peers,
        reach=(Faster(1.0, tuple(peer.name for peer in peers)),),
        aim=(),
        note="The peers play gymnax's Breakout: without sticky actions, which ours has turned off "
        "here, and cut after 1,000 steps, which ours is not; the rules are else the same.",
    )


PPO_GYM = Row(
    key="ppo-gym",
    work="PPO CartPole-v1 through Gymnasium, 8 environments, zoo settings",
    figure=STEPS,
    ours=Command("rewardtogo", "ppo_gym", quick=("--steps", "5120")),
    peers=(
        Command("SBX", "ppo_gym_sbx", "torch", quick=("--steps", "5120")),
        Command("SB3", "ppo_gym_sb3", "torch", quick=("--steps", "5120")),
    ),
    reach=(Faster(2.5, ("SBX",)),),
    aim=(Faster(4.0, ("SBX",)),),
)

A2C = Row(
    key="a2c",
    work="A2C CartPole-v1, 8 × 5 steps, RMSProp, zoo settings",
    figure=STEPS,
    ours=Command("rewardtogo", "a2c_cartpole", quick=("--steps", "40000")),
    peers=(
        Command("SB3", "a2c_cartpole_sb3", "torch", quick=("--steps", "2560")),
        Command("Tianshou", "a2c_cartpole_tianshou", "torch", quick=("--steps", "2560")),
    ),
    reach=(Faster(10.0, ("SB3", "Tianshou")),),
    aim=(),
    note="None of the JAX peers has A2C. Ours steps CartPole in its compiled program, SB3 and "
    "Tianshou Gymnasium's.",
)

TRPO = Row(
    key="trpo",
    work="TRPO CartPole-v1, 4 × 256 steps, 10 of conjugate gradient, critic 20 × the whole batch",
    figure=STEPS,
    ours=Command("rewardtogo", "trpo_cartpole", quick=("--steps", "10240")),
    peers=(
        Command("sb3-contrib", "trpo_cartpole_sb3", "torch", quick=("--steps", "2048")),
        Command("Tianshou", "trpo_cartpole_tianshou", "torch", quick=("--steps", "2048")),
    ),
    reach=(Faster(10.0, ("sb3-contrib", "Tianshou")),),
    aim=(),
    note="None of the JAX peers has TRPO. Ours steps CartPole in its compiled program, sb3-contrib "
    "and Tianshou Gymnasium's.",
)

SAC = Row(
    key="sac",
    work="SAC Pendulum-v1, 256×256, batch 256, one update a step",
    figure=UPDATES,
    ours=Command("rewardtogo", "sac_pendulum", quick=("--steps", "500")),
    peers=(
        Command("SBX", "sac_pendulum_sbx", "torch", quick=("--steps", "500")),
        Command("rejax", "sac_pendulum_rejax", "jax", quick=("--steps", "500")),
        Command("SB3", "sac_pendulum_sb3", "torch", quick=("--steps", "200")),
    ),
    reach=(Faster(1.2, ("SBX", "rejax", "SB3")),),
    aim=(Faster(1.3, ("SBX", "rejax", "SB3")),),
)

TD3 = Row(
    key="td3",
    work="TD3 Pendulum-v1, 256×256, batch 256, one update a step, actor at every second",
    figure=UPDATES,
    ours=Command("rewardtogo", "td3_pendulum", quick=("--steps", "500")),
    peers=(
        Command("SBX", "td3_pendulum_sbx", "torch", quick=("--steps", "500")),
        Command("rejax", "td3_pendulum_rejax", "jax", quick=("--steps", "500")),
        Command("SB3", "td3_pendulum_sb3", "torch", quick=("--steps", "200")),
        Command("Tianshou", "td3_pendulum_tianshou", "torch", quick=("--steps", "200")),
    ),
    reach=(
        Faster(1.1, ("SBX", "rejax"), "in JAX"),
        Faster(3.0, ("SB3", "Tianshou"), "in PyTorch"),
    ),
    aim=(),
)

DQN = Row(
    key="dqn",
    work="DQN CartPole-v1, zoo settings",
    figure=STEPS,
    ours=Command("rewardtogo", "dqn_cartpole", quick=("--steps", "2560")),
    peers=(
        Command("SBX", "dqn_cartpole_sbx", "torch", quick=("--steps", "2560")),
        Command("SB3", "dqn_cartpole_sb3", "torch", quick=("--steps", "1280")),
    ),
    reach=(Faster(2.0, ("SBX",)),),
    aim=(Faster(2.2, ("SBX",)),),
)

DQN_SEEDS = Row(
    key="dqn-8",
    work="DQN CartPole-v1, zoo settings, 8 seeds: steps of all together",
    figure=STEPS,
    ours=Command(
        "rewardtogo, 8 seeds", "dqn_cartpole", None, ("--seeds", "8"), ("--steps", "1280")
    ),
    peers=(Command("rewardtogo, one seed", "dqn_cartpole", quick=("--steps", "2560")),),
    reach=(Faster(1.5, ("rewardtogo, one seed",)),),
    aim=(Faster(1.8, ("rewardtogo, one seed",)),),
    note="Our own with one seed stands in the peer's place.",
)

WHOLE_PROCESS = Row(
    key="whole",
    work="`rtg train ppo CartPole-v1 --seeds 1`, 500,000 steps, second time, whole process",
    figure=WHOLE,
    ours=Command("rewardtogo", "whole_process", quick=("--total-steps", "51200")),
    peers=(Command("SB3 to 475", "sb3_cartpole_475", "torch"),),
    reach=(AtMost(WHOLE, 6.0), AtMost(IMPORT, 2.3)),
    aim=(AtMost(WHOLE, 5.0),),
    note="Ours trains on to 500,000 steps, evaluates and saves; SB3 stops once it has reached 475.",
)

GAE = Row(
    key="gae",
    work="GAE on [2048, 64]",
    figure=CALL,
    ours=Command("rewardtogo", "gae", quick=("--calls", "200")),
    peers=(
        Command("rlax", "gae_rlax", "jax", quick=("--calls", "200")),
        Command("NumPy loop", "gae_numpy", "torch", quick=("--calls", "10")),
        Command("TorchRL", "gae_torchrl", "torch", quick=("--calls", "5")),
    ),
    reach=(Faster(1.0, ("rlax",)),),
    aim=(AtMost(CALL, 159.0),),
)

Q_LEARNING = Row(
    key="q-learning",
    work="Tabular Q-learning, FrozenLake8x8-v1, 100 seeds: updates of all together",
    figure=UPDATES,
    ours=Command("rewardtogo", "q_learning", quick=("--steps", "2000")),
    peers=(
        Command("rlax", "q_learning_rlax", "jax", quick=("--steps", "1000")),
        Command("MushroomRL", "q_learning_mushroom", "mushroom", quick=("--steps", "2000")),
        Command("NumPy loop", "q_learning_numpy", "jax", quick=("--steps", "2000")),
    ),
    reach=(
        Faster(1.0, ("rlax",)),
        Faster(2.0, ("MushroomRL",)),
        Faster(50.0, ("NumPy loop",)),
    ),
    aim=(),
    note="rlax learns 100 seeds too; MushroomRL and the NumPy loop learn one, whose updates are "
    "counted. The peers learn only; ours also counts returns and regret, and looks at Q ten times.",
)


def _quantecon(problem: str, method: str) -> Command:
    arguments = ("--problem", problem, "--method", method)
    return Command(f"QuantEcon {method}", "solve_quantecon", "exact", arguments)


def _mdpsolver(problem: str) -> Command:
    return Command("mdpsolver", "solve_mdpsolver", "exact", ("--problem", problem))


def _solve(problem: str) -> Command:
    return Command("rewardtogo", "solve", None, ("--problem", problem))


SOLVE_GRID = Row(
    key="solve-grid",
    work="Slippery grid 300×300, γ = 0.99, solved to a certified 1e-6",
    figure=SOLVE,
    ours=_solve("grid"),
    peers=(
        _quantecon("grid", "vi"),
        _quantecon("grid", "mpi"),
        _mdpsolver("grid"),
        Command("NumPy value iteration", "solve_numpy", "exact"),
    ),
    reach=(Faster(2.0, ("QuantEcon vi", "QuantEcon mpi", "mdpsolver", "NumPy value iteration")),),
    aim=(),
    note="QuantEcon's policy iteration takes more than a minute and is left out.",
)

SOLVE_DENSE = Row(
    key="solve-dense",
    work="Dense MDP, 1,000 states, 10 actions, γ = 0.99",
    figure=SOLVE,
    ours=_solve("dense"),
    peers=(_quantecon("dense", "mpi"), _quantecon("dense", "pi"), _mdpsolver("dense")),
    reach=(Faster(1.0, ("QuantEcon mpi", "QuantEcon pi", "mdpsolver")),),
    aim=(),
)

SOLVE_SPARSE = tuple(
    Row(
        key=f"solve-{problem}",
        work=f"{what}, 1,000 states, 10 actions, γ = 0.99, lists of outcomes",
        figure=SOLVE,
        ours=_solve(problem),
        peers=(_quantecon(problem, "mpi"), _quantecon(problem, "pi"), _mdpsolver(problem)),
        reach=(Faster(1.0, ("QuantEcon mpi", "QuantEcon pi", "mdpsolver")),),
        aim=(),
    )
    for problem, what in (
        ("branching", "Garnet with three successors"),
        ("deterministic", "Deterministic random MDP"),
        ("small-slip", "Line with a small slip"),
    )
)
