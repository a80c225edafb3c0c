"""Arguments of another kind, in a process of its own: here a check of types would be the first."""

import subprocess
import sys


CALLS = {
    "rtg.td.QLearning(step_size=0.1)": "`step_size` must be one of ConstantStepSize, PolynomialSte",
    "rtg.td.Sarsa(exploration=0.1)": "`exploration` must be one of EpsilonGreedyExploration, Boltz",
    "rtg.td.TD0(step_size='fast')": "`step_size` must be a number; got 'fast'.",
    "rtg.td.MonteCarlo(visits='every')": "`visits` must be one of Visits.FIRST, Visits.EVERY; got ",
    "rtg.td.TDLambda(trace='dutch')": "`trace` must be one of Trace.ACCUMULATING, ",
    "rtg.control('Chain', rtg.td.QLearning())": "`problem` must be one of Problem; got 'Chain'.",
    "rtg.control(chain.mdp, rtg.td.QLearning())": "`problem` is an MDP, a SuccessorMDP: give a Pro",
    "rtg.control(chain, rtg.td.QLearning)": "`method` must be one of QLearning, ",
    "rtg.control(chain, rtg.td.QLearning(), steps='5')": "`steps` must be a whole number, at least",
    "rtg.predict(rtg.td.TD0(), chain, even, step_sizes=[0.1])": "`mdp` is the problem 'Chain': giv",
    "rtg.predict(rtg.td.TD0(), chain.mdp, even, step_sizes=0.1)": "`step_sizes` must be a list of ",
    "rtg.predict(rtg.td.TD0, chain.mdp, even, step_sizes=[0.1])": "`method` must be one of TD0, ",
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
