"""The order of the rooms: who may import whom. `docs/design.md` draws the same house."""

import ast
import graphlib
from pathlib import Path

import rewardtogo


SOURCE = Path(rewardtogo.__file__).parent
FLOORS = (
    "_scan devices files free_memory progress spaces statistics types validate",
    "estimators figures losses nn",
    "optim tabular",
    "algorithms envs",
    "sources td",
    "lab training",
    "recipes",
    "runs",
    "cli",
    "__init__ __main__",
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}


def imports(path: Path):
    """Every module of ours that the file at `path` imports, however deep inside it."""
    package = path.relative_to(SOURCE).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = package[: len(package) - node.level + 1]
            module = (*above, *(node.module or "").split(".")) if node.module else above
            for name in node.names:
                place = SOURCE.joinpath(*module, f"{name.name}.py")
                yield place if place.exists() else file_of(module)


def file_of(module: tuple[str, ...]) -> Path:
    place = SOURCE.joinpath(*module)
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


IMPORTS = {path: set(imports(path)) for path in SOURCE.rglob("*.py")}


def test_every_import_goes_to_a_lower_floor_or_stays_in_its_room():
    wrong = [
        f"{path.relative_to(SOURCE)} imports {other.relative_to(SOURCE)}"
        for path, others in IMPORTS.items()
        for other in others
        if room(path) != room(other) and FLOOR[room(path)] <= FLOOR[room(other)]
    ]
    assert not wrong


def test_no_files_import_each_other_in_a_circle():
    graphlib.TopologicalSorter(IMPORTS).prepare()


def test_imports_are_relative():
    for path in SOURCE.rglob("*.py"):
        assert "from rewardtogo" not in path.read_text() or path.name == "__init__.py", path
