"""From dataclasses to flags."""

import typing
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from ..types import Scalar


T = TypeVar("T")

_REGISTRY = tyro.constructors.ConstructorRegistry()
_ARRAY = next(kind for kind in typing.get_args(Scalar) if kind is not float)


@_REGISTRY.primitive_rule
def _scalar(info: tyro.constructors.PrimitiveTypeInfo) -> Any:
    """A `Scalar` is a float on the command line; without this rule tyro sees an array."""
    kinds = typing.get_args(info.type)
    if _ARRAY not in kinds:
        return None
    optional = type(None) in kinds
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="FLOAT|None" if optional else "FLOAT",
        instance_from_str=lambda words: (
            None if optional and words[0] in ("None", "none") else float(words[0])
        ),
        is_instance=lambda value: isinstance(value, float | int) or (optional and value is None),
        str_from_instance=lambda value: [str(value)],
    )


def parse(
    kind: Any, argv: Sequence[str], *, prog: str, description: str, default: Any = None
) -> Any:
    """Read `argv` into the dataclass `kind`; help and malformed flags end the process."""
    return tyro.cli(
        kind,
        prog=prog,
        description=description,
        args=list(argv),
        default=default,
        registry=_REGISTRY,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
        compact_help=False,
    )
