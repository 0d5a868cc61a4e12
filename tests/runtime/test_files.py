import os
import subprocess
import sys
from pathlib import Path

import pytest

from misc.runtime.files import HOST, FullDiskError, replacing, replacing_files

ROOT = Path(__file__).resolve().parents[2]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("first")
    with pytest.raises(RuntimeError), replacing(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise RuntimeError
    with path.open() as reader:  # who has the old file open goes on reading it
        with replacing(path) as temporary:
            temporary.write_text("second")
        assert reader.read() == "first"
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


def test_a_link_stays_one_and_its_file_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("first")
    (tmp_path / "a.txt").symlink_to(tmp_path / "real" / "a.txt")
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("second")
    assert (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "second"


def test_a_pipe_is_written_straight_and_stays_one(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with replacing(pipe) as temporary:
        temporary.write_text("through")
    assert os.read(reader, 100) == b"through"
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_stdout_is_written_straight_and_loses_nothing_wherever_it_leads(tmp_path, name):
    (tmp_path / "link").symlink_to("/dev/stdout")
    path, code = tmp_path / name, (
        "import sys; from pathlib import Path; from misc.cli import write_json; print('before')\n"
        "write_json({'a': 1}, Path(sys.argv[1])); print('after')\n"
    )  # fmt: skip
    expected = 'before\n{\n  "a": 1\n}\nafter\n'
    command = [sys.executable, "-c", code, str(path)]
    with (tmp_path / "file").open("w+") as file:
        file.write("there already\n")
        file.flush()
        inode = (tmp_path / "file").stat().st_ino
        subprocess.run(command, cwd=ROOT, stdout=file, check=True)
    assert (tmp_path / "file").read_text() == f"there already\n{expected}"
    assert (tmp_path / "file").stat().st_ino == inode
    piped = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert piped.stdout == expected


def test_names_of_any_length_have_short_temporary_ones(tmp_path):
    name = "早" * 82 + ".png"  # 250 bytes; a system allows 255
    with replacing(tmp_path / name) as temporary:
        temporary.write_text("whole")
        assert len(temporary.name.encode()) < 60
    assert (tmp_path / name).read_text() == "whole"


def test_what_a_killed_process_left_is_removed_but_nothing_else(tmp_path):
    dead, alive = f".dsve-{HOST}-999999999-0.tmp", f".dsve-{HOST}-{os.getppid()}-0.tmp"
    kept = {alive, ".dsve-elsewhere-999999999-0.tmp", ".notes.tmp", "a.txt"}
    folder = tmp_path / f".dsve-{HOST}-999999999-1.tmp"
    folder.mkdir()
    (folder / "model.safetensors").touch()
    for name in (dead, *kept - {"a.txt"}):
        (tmp_path / name).touch()
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.touch()
    assert {file.name for file in tmp_path.iterdir()} == kept


WRITERS = {
    "torch": "import torch; torch.save(torch.zeros(10**6), temporary)",
    "numpy": "import numpy; numpy.save(temporary.open('wb'), numpy.zeros(10**6))",
    "text": "temporary.write_text('x' * 10**6)",
    "parquet": "import pyarrow as p, pyarrow.parquet as q, numpy as n; "
    "q.write_table(p.table({'a': n.random.rand(10**6)}), temporary)",
    "safetensors": "import numpy, safetensors.numpy as s; from safetensors import SafetensorError\n"
    "        try: s.save_file({'a': numpy.zeros(10**6)}, temporary)\n"
    "        except SafetensorError as error: raise OSError(str(error)) from error",
    "faiss": "import faiss, numpy; i = faiss.IndexFlatL2(100); "
    "i.add(numpy.zeros((10**4, 100), 'f4')); faiss.write_index(i, str(temporary))",
}


@pytest.mark.parametrize("library", WRITERS)
def test_a_file_that_finds_no_space_is_one_clear_line_and_the_old_one_whole(tmp_path, library):
    path = tmp_path / "file"
    path.write_text("old")
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from misc.runtime.files import replacing\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        f"path = Path({str(path)!r})\n"
        "try:\n"
        "    with replacing(path) as temporary:\n"
        f"        {WRITERS[library]}\n"
        "except OSError as error:\n"
        "    print(error)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout.startswith(f"{path} cannot be written ("), ended.stderr
    assert "MB of it were, and" in ended.stdout
    assert len(ended.stdout.splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "old"


def test_a_size_that_is_known_is_compared_with_what_is_free_before(tmp_path):
    refused = pytest.raises(FullDiskError, match="needs .* MB, and .* MB are free")
    for writing in (replacing, replacing_files):
        with refused, writing(tmp_path / "a.pt", size=10**18):
            pass


def test_files_of_a_folder_appear_once_all_of_them_are_whole(tmp_path):
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere.txt"
    folder.mkdir()
    elsewhere.write_text("old")
    (folder / "link.txt").symlink_to(elsewhere)
    (folder / "other.txt").write_text("stays")
    with pytest.raises(KeyError), replacing_files(folder) as temporary:  # noqa: PT012
        (temporary / "link.txt").write_text("half")
        raise KeyError
    assert elsewhere.read_text() == "old"
    with replacing_files(folder) as temporary:
        for name in ("link.txt", "new.txt"):
            (temporary / name).write_text("new")
        assert not (folder / "new.txt").exists()
    assert {file.name for file in folder.iterdir()} == {"link.txt", "new.txt", "other.txt"}
    assert (folder / "link.txt").is_symlink()
    assert elsewhere.read_text() == (folder / "new.txt").read_text() == "new"


def test_a_full_disk_is_told_of_the_file_that_it_had_no_space_for(tmp_path):
    rows, names = replacing(tmp_path / "rows.npy"), replacing(tmp_path / "names.txt")
    with pytest.raises(FullDiskError) as caught, rows, names:
        raise RuntimeError("write error in names.txt")
    assert str(caught.value).startswith(f"{tmp_path / 'names.txt'} cannot be written (RuntimeE")
    assert "rows.npy" not in str(caught.value)
