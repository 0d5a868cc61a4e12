"""The plan of the house: which room may import which, by room and by file."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = {path.stem for path in ROOT.glob("*.py")}

# Arrows go down: a floor may import those below it, and what shares its floor only within a room.
FLOORS = [
    {"scripts", "demo", "benchmarks"},
    {"misc.training", "misc.embedder"},
    {"misc.pictures"},
    {"misc.evaluation"},
    {"misc.inference"},
    {"misc.checkpoints", "misc.features"},
    {"misc.data"},
    {"misc.words"},
    {"misc.cli"},
    {"misc.presets"},
    {"misc.config"},
    {"misc.toy"},
    {"models", "misc.runtime"},
]
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}
LOOSE = {"__init__", "embedder", "presets"}  # all else has a room
LINES = 250  # of a file, at most
FUNCTION_LINES = 40


def python_files(root, folders=("", "misc", "models", "demo", "benchmarks")):
    """Module names and files, those of tests left out."""
    for folder in folders:
        files = (root / folder).rglob("*.py") if folder else root.glob("*.py")
        for path in sorted(files):
            yield ".".join(path.relative_to(root).with_suffix("").parts), path


def imports(path):
    """What a file imports, inside functions too, but not what only type checkers see."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages(path):
    return {name.split(".")[0] for name in imports(path)}


def room_of(module):
    """The room of a module; what is run as ``python -m`` is a script, wherever it lies."""
    parts = module.split(".")
    if len(parts) == 1 or parts[-1] == "__main__":
        return "scripts" if parts[0] not in ("models", "demo", "benchmarks") else parts[0]
    return ".".join(parts[:2]) if parts[0] == "misc" else parts[0]


def arrows(root):
    """Each module of the project with those that it imports."""
    modules = dict(python_files(root))
    for module, path in modules.items():
        found = {name if name in modules else f"{name}.__init__" for name in imports(path)}
        yield module, sorted(found & modules.keys() - {module})


def complaints(root):
    """What is wrong with the plan of a checkout: one line each."""
    found, graph = [], {}
    for path in (root / "misc").glob("*.py"):
        if path.stem not in LOOSE:
            found.append(f"misc/{path.name} lies loose; give it a room")
    for module, targets in arrows(root):
        graph[module] = targets
        for target in targets:
            upper, lower = room_of(module), room_of(target)
            if lower == "scripts":
                found.append(f"{module} imports the script {target}")
            elif upper != lower and FLOOR[upper] >= FLOOR.get(lower, -1):
                found.append(f"{module} imports {target}, which is not below it")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        found.append(f"a circle: {' -> '.join(error.args[1])}")
    return found


def test_arrows_go_down_and_never_in_a_circle():
    assert complaints(ROOT) == []


@pytest.fixture
def house(tmp_path):
    """A small house in order, to plant faults in."""
    for file, code in {
        "train.py": "import misc.config",
        "misc/__init__.py": "",
        "misc/config/__init__.py": "from misc.config import training",
        "misc/config/training.py": "from models import sru",
        "misc/data/__init__.py": "",
        "misc/data/images.py": "from misc.data import paths",
        "misc/data/paths.py": "from misc.config import PATHS",
        "misc/training/loop.py": "from misc.data.images import load",
        "misc/words/__main__.py": "from misc.training import loop",
        "models/sru.py": "import torch",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(code, encoding="utf-8")
    assert complaints(tmp_path) == []
    return tmp_path


@pytest.mark.parametrize(
    ("file", "code", "complaint"),
    [
        ("misc/data/paths.py", "from misc.training import loop", "misc.training.loop, which is"),
        ("misc/data/paths.py", "def f():\n    import misc.training.loop", "which is not below it"),
        ("misc/data/paths.py", "def f():\n    from misc.data import images", "a circle: "),
        ("misc/data/__init__.py", "from misc.data.paths import x\nimport misc.data", "a circle"),
        (
            "misc/config/training.py",
            "from misc.data import paths",
            "misc.data.paths, which is not below it",
        ),
        ("models/sru.py", "from misc.config import x", "models.sru imports misc.config"),
        ("misc/data/images.py", "import train", "imports the script train"),
        ("misc/data/images.py", "from misc.words import __main__", "the script misc.words.__main"),
        ("misc/utils.py", "", "misc/utils.py lies loose"),
        ("misc/attic/old.py", "import misc.config", ""),
    ],
)
def test_a_planted_fault_is_found(house, file, code, complaint):
    (house / file).parent.mkdir(exist_ok=True)
    (house / file).write_text(code, encoding="utf-8")
    if file == "misc/data/__init__.py":
        (house / "misc/data/paths.py").write_text("import misc.data", encoding="utf-8")
    if not complaint:
        with pytest.raises(KeyError, match="misc.attic"):  # a room that is on no floor
            complaints(house)
        return
    assert any(complaint in line for line in complaints(house)), complaints(house)


def test_models_know_of_nothing_but_torch():
    standard = {"math", "collections", "dataclasses", "pathlib", "typing"}
    allowed = {"models", "torch", "torchvision", "huggingface_hub", "timm"} | standard
    for path in (ROOT / "models").glob("*.py"):
        assert packages(path) <= allowed, path


@pytest.mark.parametrize(
    ("package", "room"),
    [("matplotlib", "misc.pictures"), ("ijson", "misc.data"), ("pycocotools", "misc.data")],
)
def test_only_one_room_draws_and_only_one_reads_annotation_formats(package, room):
    for module, path in python_files(ROOT, ("", "misc", "models")):
        if package in packages(path) and room_of(module) != "misc.toy":
            assert room_of(module) == room, path


def test_every_script_ends_in_the_two_lines_and_starts_with_examples():
    commands = {f"python {script}.py": Path(f"{script}.py") for script in SCRIPTS}
    for path in (ROOT / "misc").glob("*/__main__.py"):
        commands[f"python -m misc.{path.parent.name}"] = path.relative_to(ROOT)
    for command, file in commands.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        assert text.endswith('if __name__ == "__main__":\n    run(main, get_parser())\n'), file
        assert command in (ast.get_docstring(ast.parse(text)) or ""), file


def test_command_lines_need_neither_torch_nor_arrays_nor_plots():
    heavy = ("torch", "numpy", "pyarrow", "matplotlib", "PIL", "cv2")
    code = f"import sys, {', '.join(sorted(SCRIPTS))}\n"
    code += f"sys.exit(', '.join(name for name in {heavy} if name in sys.modules) or None)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_files_and_functions_are_short():
    for _, path in python_files(ROOT, ("", "misc", "models", "demo", "benchmarks", "tests")):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= LINES, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno is not None
                length = node.end_lineno - node.lineno + 1
                assert length <= FUNCTION_LINES, f"{path}: {node.name} has {length} lines"
