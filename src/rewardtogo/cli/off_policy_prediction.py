"""`rtg predict` for the methods that learn from another policy's steps; their flags are others."""

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path

import equinox as eqx
import tyro

from .. import validate
from .flags import parse, require_options
from .waiting import waiting


NAMES = ("off-policy-td", "emphatic-td", "gtd2", "tdc")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OffPolicyPredict:
    method: tyro.conf.Positional[str | None] = None
    """off-policy-td, emphatic-td, gtd2 or tdc."""
    problem: tyro.conf.Positional[str | None] = None
    """Baird, another MDP by name, or the path of a file that holds one (.npz, .json)."""
    step_sizes: tuple[float, ...] = (0.005,)
    """α of the weights, each one of them."""
    auxiliary_step_size: float | None = None
    """β of the second weights of gtd2 and tdc; 0.05 without one."""
    steps: int = 1000
    """Of each run; rounded up to a multiple of 100."""
    seeds: int = 20
    """Independent runs."""
    seed: int = 0
    """Of everything that is random."""
    discount: float | None = None
    """γ; the problem's own by default."""
    picture: Path | None = None
    """Draw weights and errors of the first step size into this file."""
    json: bool = False
    """Print JSON only, with every seed's errors."""


def run(argv: Sequence[str]) -> int:
    """Learn from samples and in the mean, print, draw."""
    method = next(word for word in argv if word in NAMES)
    require_options(argv, OffPolicyPredict, command=f"rtg predict {method}")
    options = parse(
        OffPolicyPredict,
        argv,
        prog="rtg predict",
        description="Learn the values of one policy from the steps of another.",
    )
    if options.problem is None:
        raise ValueError("which problem? Baird, another name, or a file.")
    validate.count("seeds", options.seeds)
    if options.picture is not None:
        from ..figures import require_writable

        require_writable(options.picture)
    from ..devices import prepare

    prepare("cpu", len(options.step_sizes) * options.seeds)
    return _learn(options)


def _learn(options: OffPolicyPredict) -> int:
    from ..tabular.problems.catalogue import problem
    from ..td.off_policy.counterexamples import off_policy_case
    from ..td.off_policy.exact import growth_rate
    from ..td.off_policy.report import as_json, as_text, draw
    from ..td.off_policy.run import Updates, off_policy_prediction

    method, named = _method(options), problem(str(options.problem), discount=options.discount)
    began = time.monotonic()
    with waiting("learning", quiet=options.json):
        case = off_policy_case(named)
        found = {
            updates: off_policy_prediction(
                method,
                case,
                step_sizes=options.step_sizes,
                updates=updates,
                steps=options.steps,
                seeds=options.seeds,
                seed=options.seed,
            )
            for updates in Updates
        }
        sized = lambda size: eqx.tree_at(lambda method: method.step_size, method, size)
        rates = {size: growth_rate(sized(size), case) for size in options.step_sizes}
    title = f"{options.method} on {named.name}, discount {named.mdp.discount:g}"
    if options.json:
        print(json.dumps(as_json(found, rates, title=title)))
    else:
        print(as_text(found, rates, title=title, seconds=time.monotonic() - began))
    if options.picture is not None:
        draw(found, options.picture, title=title)
        if not options.json:
            print(options.picture)
    return 0


def _method(options: OffPolicyPredict):
    from ..td.off_policy.methods import GTD2, METHODS, TDC

    validate.one_of("method", str(options.method), METHODS)
    kind, size = METHODS[str(options.method)], options.auxiliary_step_size
    if size is None:
        return kind()
    if kind is GTD2 or kind is TDC:
        return kind(auxiliary_step_size=size)
    raise ValueError("`auxiliary_step_size` is for the methods gtd2 and tdc.")
