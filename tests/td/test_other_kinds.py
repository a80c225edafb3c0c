"""Arguments of another kind, in a process of its own: here a check of types would be the first."""

import subprocess
import sys


CALLS = {
    "rtg.QLearning(step_size=0.1)": "`step_size` must be one of ConstantStepSize, PolynomialStep",
    "rtg.Sarsa(exploration=0.1)": "`exploration` must be one of EpsilonGreedyExploration, Boltz",
    "rtg.TD0(step_size='fast')": "`step_size` must be a number; got 'fast'.",
    "rtg.MonteCarlo(visits='every')": "`visits` must be one of Visits.FIRST, Visits.EVERY; got 'e",
    "rtg.TDLambda(trace='dutch')": "`trace` must be one of Trace.ACCUMULATING, ",
    "rtg.control('Chain', rtg.QLearning())": "`problem` must be one of Problem; got 'Chain'.",
    "rtg.control(chain.mdp, rtg.QLearning())": "`problem` is an MDP, a SuccessorMDP: give a Prob",
    "rtg.control(chain, rtg.QLearning)": "`method` must be one of QLearning, ",
    "rtg.control(chain, rtg.QLearning(), steps='5')": "`steps` must be a whole number, at least 1",
    "rtg.predict(rtg.TD0(), chain, even, step_sizes=[0.1])": "`mdp` is the problem 'Chain': give",
    "rtg.predict(rtg.TD0(), chain.mdp, even, step_sizes=0.1)": "`step_sizes` must be a list of at",
    "rtg.predict(rtg.TD0, chain.mdp, even, step_sizes=[0.1])": "`method` must be one of TD0, ",
}
PROGRAM = """
import rewardtogo as rtg
chain, even = rtg.problem("Chain"), [[0.5, 0.5]] * 5
for call in {calls!r}:
    try:
        eval(call)
    except ValueError as error:
        print(error)
    else:
        print("nothing wrong with", call)
"""


def test_one_line_each_and_at_once():
    program = PROGRAM.format(calls=list(CALLS))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(CALLS), done.stdout
    for line, said in zip(lines, CALLS.values(), strict=True):
        assert line.startswith(said), line
