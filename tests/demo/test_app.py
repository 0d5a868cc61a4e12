import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from demo import app

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_needs_gradio_and_says_so(monkeypatch):
    monkeypatch.delitem(sys.modules, "demo.page", raising=False)
    monkeypatch.delitem(sys.modules, "demo.handlers", raising=False)
    monkeypatch.setitem(sys.modules, "gradio", None)
    args = app.get_parser().parse_args(["-p", "no.pt"])
    args.port = 0  # any that is free
    with pytest.raises(ValueError, match="requirements-demo.txt"):
        app.main(args)


def test_the_page_listens_on_this_machine_only():
    args = app.get_parser().parse_args(["-p", "model.pt"])
    assert (args.host, args.port) == ("127.0.0.1", 7860)


def test_a_taken_or_impossible_port_is_told_before_anything_is_loaded():
    with socket.create_server(("127.0.0.1", 0)) as server:
        for port in (server.getsockname()[1], 70_000):
            with pytest.raises(ValueError, match=f"port {port} .* --port"):
                app.main(app.get_parser().parse_args(["-p", "no.pt", "--port", str(port)]))


def test_the_command_lines_need_neither_torch_nor_gradio():
    code = "import sys, demo.app, demo.screenshot\n"
    code += "sys.exit(bool({'torch', 'numpy', 'PIL', 'gradio', 'playwright'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_addresses_of_both_kinds_can_be_listened_on():
    app.check_address("127.0.0.1", 0)
    if socket.has_ipv6:
        app.check_address("::1", 0)
    with pytest.raises(ValueError, match="cannot listen on 203.0.113.1"):
        app.check_address("203.0.113.1", 0)


def test_temporary_files_are_private_and_no_proxy_is_asked_for_the_page(monkeypatch):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setenv("no_proxy", "example.org")
    monkeypatch.setenv("NO_PROXY", "")
    app.prepare_environment("192.0.2.7")
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    assert folder.stat().st_mode & 0o077 == 0
    assert os.environ["no_proxy"] == "example.org,localhost,127.0.0.1,::1,192.0.2.7"
    monkeypatch.setenv("GRADIO_TEMP_DIR", "chosen")
    app.prepare_environment("::1")
    assert os.environ["GRADIO_TEMP_DIR"] == "chosen"
