"""Imports go down the house, or sideways inside a room; never sideways between rooms of one level, never up."""

import ast
from pathlib import Path

import jax_inversion

PACKAGE = Path(jax_inversion.__file__).parent
DOORS = (
    "convert", "simulate", "calibrate", "analyze", "train", "infer", "refine", "export", "score", "pipeline", "report",
    "doctor",
)  # fmt: skip
LEVELS = {
    0: (
        "arrays",
        "caches",
        "errors",
        "files",
        "former_names",
        "npy",
        "progress",
        "ranges",
        "resampling",
        "start",
        "survey",
    ),
    1: ("geology", "physics", "data", "formats", "models", "regression", "losses", "metrics"),
    2: ("backgrounds", "config", "ensemble", "runs", "sections", "surveys"),
    3: ("simulation", "training", "inference", "settings_help"),
    4: ("refinement",),
    5: ("plots", "cli"),
    6: (*DOORS, "__main__", "__init__", "interface"),
    7: ("remote",),
}
LEVEL = {room: level for level, rooms in LEVELS.items() for room in rooms}
# Level 0 is written in the names of shapes, ranges and the user's errors; a prediction starts at a checkpoint; the
# pipeline strings the other doors together.
SIDEWAYS = {
    *((room, name) for room in LEVELS[0] for name in ("arrays", "errors", "files", "ranges")),
    *(("start", name) for name in ("resampling", "survey")),
    ("metrics", "losses"),
    ("config", "sections"),
    ("surveys", "config"),
    ("inference", "training"),
    ("cli", "former_names"),
    ("__init__", "interface"),
    *((door, "__init__") for door in ("doctor", "__main__")),
    *(("pipeline", door) for door in DOORS),
}
ONLY = {"orbax": "training", "wandb": "training", "matplotlib": "plots", "segyio": "formats", "h5py": "formats"}


def imports():
    """(file, importing room, imported room or library) of every import in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = parts[: len(parts) - node.level]
                names = [*base, *(node.module or "").split(".")]
                targets = [names[len(base)]] if not base and node.module else [names[0]]
                if not base and not node.module:
                    targets = [alias.name for alias in node.names]
                elif base and not node.module:
                    targets = [base[0]]
                yield from ((path, parts[0], target) for target in targets)
            elif isinstance(node, ast.ImportFrom | ast.Import):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                yield from ((path, parts[0], name.split(".")[0]) for name in names)


def test_every_room_has_a_level():
    rooms = {
        p.stem if p.is_file() else p.name
        for p in PACKAGE.iterdir()
        if p.suffix == ".py" or (p / "__init__.py").exists()
    }
    assert rooms <= set(LEVEL), f"rooms without a level: {rooms - set(LEVEL)}"


def test_imports_go_down():
    wrong = []
    for path, room, target in imports():
        if target not in LEVEL or target == room or (room, target) in SIDEWAYS:
            continue
        if LEVEL[target] >= LEVEL[room]:
            wrong.append(f"{path.relative_to(PACKAGE)} ({LEVEL[room]}) imports {target} ({LEVEL[target]})")
    assert not wrong, "\n".join(wrong)


def test_each_big_library_has_one_importer():
    wrong = [f"{p.relative_to(PACKAGE)} imports {t}" for p, room, t in imports() if t in ONLY and room != ONLY[t]]
    assert not wrong, "\n".join(wrong)


def test_the_walk_sees_imports():
    seen = {(room, target) for _, room, target in imports()}
    assert {("physics", "survey"), ("training", "orbax"), ("pipeline", "train"), ("infer", "inference")} <= seen
