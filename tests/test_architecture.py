"""The import arrows: scripts -> misc -> models -> torch and torchvision."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = {path.stem for path in ROOT.glob("*.py")}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def packages(path):
    return {name.split(".")[0] for name in imports(path)}


def test_models_know_of_nothing_but_torch():
    standard = {"math", "collections", "dataclasses", "pathlib", "typing"}
    allowed = {"models", "torch", "torchvision", "huggingface_hub", "timm"} | standard
    for path in (ROOT / "models").glob("*.py"):
        assert packages(path) <= allowed, path


def test_nobody_imports_a_script():
    for path in [*ROOT.glob("*.py"), *ROOT.glob("m*/*.py"), *ROOT.glob("benchmarks/*.py")]:
        assert not packages(path) & SCRIPTS, path


def test_only_one_module_draws_and_only_one_reads_annotation_formats():
    for path in [*ROOT.glob("*.py"), *ROOT.glob("misc/*.py")]:
        if path.name != "visualization.py":
            assert "matplotlib" not in packages(path), path
        if path.name != "annotations.py":
            assert "ijson" not in packages(path), path


def test_every_script_ends_in_the_two_lines_and_starts_with_examples():
    for script in SCRIPTS:
        text = (ROOT / f"{script}.py").read_text(encoding="utf-8")
        assert text.endswith('if __name__ == "__main__":\n    run(main, get_parser())\n'), script
        assert f"python {script}.py" in ast.get_docstring(ast.parse(text)), script


def test_command_lines_need_neither_torch_nor_arrays_nor_plots():
    heavy = ("torch", "numpy", "pyarrow", "matplotlib", "PIL", "cv2")
    code = f"import sys, {', '.join(sorted(SCRIPTS))}\n"
    code += f"sys.exit(', '.join(name for name in {heavy} if name in sys.modules) or None)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
