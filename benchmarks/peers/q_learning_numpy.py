"""Q-learning on FrozenLake8x8 as the book's box reads: a loop in Python over NumPy arrays."""

import protocol  # first, so that nothing a library prints reaches standard output


# isort: split
import lake
import numpy as np


def main() -> None:
    parser = protocol.arguments(__doc__)
    parser.add_argument("--steps", type=int, default=50_000, help="steps a repetition")
    arguments = parser.parse_args()
    probability, successor, reward, terminal = lake.tables()
    cumulative = np.cumsum(probability, axis=2)
    rng = np.random.default_rng(0)
    q = np.zeros(reward.shape[:2])
    state = time = 0

    def learn(steps: int) -> None:
        nonlocal state, time
        for _ in range(steps):
            if rng.random() < lake.EPSILON:
                action = int(rng.integers(q.shape[1]))
            else:
                action = int(rng.choice(np.flatnonzero(q[state] == q[state].max())))
            outcome = int(np.searchsorted(cumulative[state, action], rng.random(), side="right"))
            outcome = min(outcome, cumulative.shape[2] - 1)
            following = int(successor[state, action, outcome])
            ended = bool(terminal[following])
            target = reward[state, action, outcome]
            if not ended:
                target += lake.DISCOUNT * q[following].max()
            q[state, action] += lake.STEP_SIZE * (target - q[state, action])
            time += 1
            over = ended or time >= lake.LIMIT
            state, time = (0, 0) if over else (following, time)

    def measure() -> protocol.Result:
        learn(arguments.steps)
        return {"steps": arguments.steps, "checksum": float(q.max())}

    measure()
    protocol.serve(
        measure, name="NumPy Q-learning", unit="updates", packages=["numpy"], settings={}
    )


if __name__ == "__main__":
    main()
