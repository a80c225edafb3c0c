"""From dataclasses to flags."""

import dataclasses
import difflib
import typing
from collections.abc import Collection, Mapping, Sequence
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
    kind: Any, argv: Sequence[str], *, prog: str, description: str = "", default: Any = None
) -> Any:
    """Read `argv` into the dataclass `kind`; help and malformed flags end the process.

    The help begins with the `description`, or else with what the dataclass says of itself.
    """
    return tyro.cli(
        kind,
        prog=prog,
        description=description or kind.__doc__,
        args=gathered(argv, "--env-arg"),
        default=default,
        registry=_REGISTRY,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.EnumChoicesFromValues),
        compact_help=False,
    )


def require_options(argv: Sequence[str], kind: type, *, command: str) -> None:
    """Raise `ValueError` for a flag that no field of `kind` reads.

    For commands whose flags depend on their words: the parser would point to another's help.
    """
    names = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(kind)}
    for word in argv:
        flag = word.partition("=")[0].replace("_", "-")
        # Flags of tyro's own write the completion of a shell.
        if not flag.startswith("--") or flag.startswith("--tyro-") or flag in {*names, "--help"}:
            continue
        if f"--{flag.removeprefix('--no-')}" not in names:
            near = difflib.get_close_matches(flag, names, n=1, cutoff=0.8)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise ValueError(
                f"`{flag}` is not an option of `{command}`.{hint} All that are: `{command} --help`."
            )


def require_read(
    options: Any, what: str, chosen: Collection[str], *, read_by: Mapping[str, Collection[str]]
) -> None:
    """Raise `ValueError` for a flag that is set, and that none of the `chosen` reads.

    `read_by` names those that do; a flag that it leaves out is read by all.
    """
    for field in dataclasses.fields(options):
        value, readers = getattr(options, field.name), read_by.get(field.name)
        if readers is not None and value != field.default and not set(readers) & set(chosen):
            flag = f"no_{field.name}" if value is False else field.name
            raise ValueError(f"`{flag}` is for the {what} {' or '.join(readers)}.")


def gathered(argv: Sequence[str], flag: str) -> list[str]:
    """`flag a … flag b` as `… flag a b`: of a flag given twice the first would be forgotten."""
    rest, values, taking = [], [], False
    for word in argv:
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == flag:
            values += [value] if equals else []
            taking = not equals
        elif taking and not word.startswith("-"):
            values.append(word)
        else:
            taking = False
            rest.append(word)
    return [*rest, flag, *values] if values else rest


def value_of(argv: Sequence[str], flag: str) -> str | None:
    """What follows `flag` in `argv`, read before all of it can be."""
    for i, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == flag:
            return value if equals else next(iter(argv[i + 1 :]), None)
    return None


def given(**values: Any) -> dict[str, Any]:
    """Those that were set, as arguments: what was not has its default."""
    return {name: value for name, value in values.items() if value is not None}
