"""What the documents say of the code holds: commands, options, links, names."""

import argparse
import contextlib
import functools
import importlib
import io
import re
import shlex
from pathlib import Path

import pytest

from benchmarks import recipe

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# What is not ours: its options are not looked at.
OTHERS = ("export", "hf", "pip", "tensorboard", "HEAD=$(scontrol")
OTHERS_OPTIONS = {"--standalone", "--max-restarts"}  # of torchrun, in prose
SUBCOMMANDS = argparse._SubParsersAction

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`]+)`")


def prose(text):
    return FENCE.sub("", text)


def inline_code(text):
    """Pieces of code within lines of prose, each on one line."""
    return [" ".join(code.split()) for code in INLINE.findall(prose(text))]


def commands(text):
    """Shell commands of a document, each on one line: those in fences, and ours within prose."""
    for language, block in FENCE.findall(text):
        if language == "sh":
            for line in block.replace("\\\n", " ").splitlines():
                if shlex.split(line, comments=True):
                    yield line
    yield from (code for code in inline_code(text) if code.startswith(("python ", "torchrun ")))


@functools.cache
def parser_of(module):
    """The parser of a script; ``None`` if there is no such script."""
    file = ROOT.joinpath(*module.split("."))
    if (file / "__main__.py").exists():
        module = f"{module}.__main__"
    elif not file.with_suffix(".py").exists():
        return None
    return importlib.import_module(module).get_parser()


def subparsers(parser):
    """The parsers of subcommands by name; {} if there are none."""
    found = [action for action in parser._actions if isinstance(action, SUBCOMMANDS)]
    return dict(found[0].choices) if found else {}


def own_command(words):
    """Split the words of a command into the module of ours that it runs, and its arguments."""
    for place, word in enumerate(words):
        if word == "-m":
            return words[place + 1], words[place + 2 :]
        if word.endswith(".py"):
            return word.removesuffix(".py"), words[place + 1 :]
    return None, []


def fault_of(command):
    """Say what is wrong with a command; "" if nothing is."""
    words = shlex.split(command, comments=True)
    if words[0] in OTHERS:
        return ""
    if words[0] == "make":
        unknown = [target for target in words[1:] if target not in make_targets()]
        return f"no target {', '.join(unknown)}" if unknown else ""
    if words[0] not in ("python", "torchrun", "srun"):
        return f"no command {words[0]}"
    module, arguments = own_command(words)
    parser = parser_of(module) if module else None
    if parser is None:
        return f"no script {module}"
    # Exactly: argparse would take the beginning of an option for it.
    known = subparsers(parser).get(arguments[0] if arguments else "", parser)._option_string_actions
    unknown = [word for word in arguments if re.match(r"--?[a-z]", word) and word not in known]
    if unknown:
        return f"no option {', '.join(unknown)}"
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            parser.parse_args(arguments)
        except SystemExit as end:  # --help ends, too
            return said.getvalue() if end.code else ""
    return ""


@functools.cache
def make_targets():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))


def anchors(file):
    """What headings of a document are called in links to them."""
    headings = re.findall(r"^#+ (.+)$", prose(file.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document, text):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = document.parent / name if name else document
        if not file.exists() or (anchor and anchor not in anchors(file)):
            yield target


def all_parsers():
    """Each parser of the project, by the words that run it."""
    for path in sorted(ROOT.glob("*.py")):
        yield f"python {path.name}", parser_of(path.stem)
    for path in sorted((ROOT / "misc").glob("*/__main__.py")):
        module = f"misc.{path.parent.name}"
        parser = parser_of(module)
        for name, subparser in (subparsers(parser) or {"": parser}).items():
            yield f"python -m {module} {name}".strip(), subparser


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_understood(document):
    text = document.read_text(encoding="utf-8")
    faults = {command: fault_of(command) for command in commands(text)}
    assert {command: fault for command, fault in faults.items() if fault} == {}
    assert {language for language, _ in FENCE.findall(text)} <= {"sh", "text", "python", "bibtex"}


@pytest.mark.parametrize("file", ["Makefile", *ROOT.glob("*.py"), *ROOT.glob("misc/*/__main__.py")])
def test_commands_of_the_makefile_and_of_docstrings_are_understood(file):
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ").replace("$(BIN)/", "")
    found = re.findall(r"^\s*((?:python|torchrun) .*)", text, re.MULTILINE)
    assert found
    found = [line for line in found if own_command(line.split())[0] not in ("pytest", "benchmarks")]
    faults = {line: fault_of(line) for line in found}
    assert {line: fault for line, fault in faults.items() if fault} == {}


def test_the_rows_of_the_recipe_are_understood():
    for preset, rows in recipe.ROWS.items():
        for row in rows.values():
            assert fault_of(f"python train.py --preset {preset} {recipe.STEPS[preset]} {row}") == ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(document):
    assert list(broken_links(document, document.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_prose_names_exists(document):
    code = inline_code(document.read_text(encoding="utf-8"))
    known = {option for _, parser in all_parsers() for option in parser._option_string_actions}
    known |= set(parser_of("demo.app")._option_string_actions) | OTHERS_OPTIONS
    options = {word for piece in code for word in piece.split() if re.match(r"--[a-z]", word)}
    assert options - known == set()
    targets = {piece.split()[1] for piece in code if piece.startswith("make ")}
    assert targets <= make_targets()
    files = {
        word for piece in code for word in re.findall(r"^(?:misc|models|tests)/[\w/.]*$", piece)
    }
    assert {file for file in files if not (ROOT / file).exists()} == set()
    lists = r"requirements[\w-]*\.txt|environment\.yml"
    requirements = re.findall(lists, document.read_text("utf-8"))
    assert {file for file in requirements if not (ROOT / file).exists()} == set()


def test_every_script_and_subcommand_is_shown_and_explains_itself():
    shown = {
        " ".join(command.split()) for path in DOCUMENTS for command in commands(path.read_text())
    }
    for command, parser in all_parsers():
        assert any(line.startswith(command) for line in shown), f"no document shows {command}"
        assert "usage: " in parser.format_help()
        unexplained = [
            a.dest for a in parser._actions if not a.help and not isinstance(a, SUBCOMMANDS)
        ]
        assert unexplained == [], command


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 200


def tree(text):
    """The paths of a file tree: names before two spaces, folders' content by two more."""
    folder = ""
    for line in text.splitlines():
        names = re.split(r" {2,}", line.strip())[0].split(", ")
        if not line.startswith(" "):
            folder = names[0]
            yield from names
        else:
            yield from (folder + name for name in names)


def test_the_file_tree_is_that_of_the_project():
    (block,) = re.findall(r"^## Files\n\n```text\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    named = list(tree(block))
    assert [name for name in named if not (ROOT / name).exists()] == []
    there = {path.name for path in ROOT.glob("*.py")}
    there |= {f"misc/{path.name}" for path in (ROOT / "misc").glob("[a-z]*.py")}
    there |= {f"{path.parent.relative_to(ROOT)}/" for path in ROOT.glob("misc/*/__init__.py")}
    assert there - set(named) == set()


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("python train.py --preset toy --resume", ""),
        ("python train.py --prese toy", "no option --prese"),
        ("python train.py --preset tiny", "invalid choice: 'tiny'"),
        ("python tain.py --preset toy", "no script tain"),
        ("pyton train.py --preset toy", "no command pyton"),
        ("python -m misc.visualization curves runs/toy", "no script misc.visualization"),
        ("python -m misc.checkpoints onnx -p a.pt -o out --force", "no option --force"),
        ("python -m misc.checkpoints look a.pt", "invalid choice: 'look'"),
        ("python eval_retrieval.py -te", "required: -p"),
        ("torchrun --nproc-per-node 2 train.py --lr 1", "no option --lr"),
        ("make dinner", "no target dinner"),
    ],
)
def test_a_planted_fault_of_a_command_is_found(command, fault):
    (line,) = commands(f"Text\n\n```sh\n# how\n{command}  # why\n```\n")
    assert fault in fault_of(line)
    assert bool(fault) == bool(fault_of(line))


def test_a_planted_fault_of_a_link_is_found(tmp_path):
    document = tmp_path / "page.md"
    text = "# The page\n\n[a](page.md) [b](#the-page) [c](page.md#other) ![d](absent.png) [e](http://e)"
    document.write_text(text, encoding="utf-8")
    assert list(broken_links(document, text)) == ["page.md#other", "absent.png"]
