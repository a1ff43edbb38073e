"""Real situations for the build to meet: bare PATHs, stand-in programs, package indexes of this machine."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes an executable shell script into a folder of its own."""

    def write(name: str, body: str) -> Path:
        path = tmp_path / "programs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def bare_path(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """An environment whose PATH holds the named programs and nothing else."""

    def make(*names: str, **variables: str) -> dict[str, str]:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name in names:
            found = shutil.which(name)
            if found is None:
                pytest.skip(f"{name} is not on this machine")
            (folder / name).symlink_to(found)
        return {"PATH": str(folder), "HOME": str(tmp_path), **variables}

    return make


def without_pip_settings(**variables: str) -> dict[str, str]:
    """This process's environment, less every setting of pip's and every build variable."""
    drop = ("PIP_", "HOROVOD_", "HLB_", "CXX")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(drop)}
    return {**kept, "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "1", **variables}


@pytest.fixture
def unreachable_index() -> dict[str, str]:
    """An environment whose only package index is a loopback port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return without_pip_settings(PIP_INDEX_URL=f"http://127.0.0.1:{port}/simple")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def local_index(tmp_path: Path) -> Iterator[Callable[[dict[str, bytes]], dict[str, str]]]:
    """Serves a package index with the given horovod files; the environment that makes pip use it alone."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def serve(files: dict[str, bytes]) -> dict[str, str]:
        folder = tmp_path / "index" / "simple" / "horovod"
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        links = "".join(f'<a href="{name}">{name}</a>' for name in files)
        (folder / "index.html").write_text(f"<html><body>{links}</body></html>", encoding="utf-8")
        handler = functools.partial(_Quiet, directory=str(tmp_path / "index"))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return without_pip_settings(PIP_INDEX_URL=f"http://127.0.0.1:{server.server_port}/simple")

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()
