"""Storage over servers of its own: SFTP by paramiko's server side, FTP by a small server; what stands under the name is always whole."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.publish import storage
from services.publish.storage import layout, layout_values
from shared.errors import Rejected, Retryable
from tests.publish.records import event

if TYPE_CHECKING:
    import paramiko  # type: ignore[import-untyped]
else:
    paramiko = pytest.importorskip("paramiko", reason="the extra `sftp` is not installed")

BODY = '{"headline":"Паром"}'.encode()
LAYOUT = "{source}/{published:%Y/%m}/{section}-{article_id}.r{revision}.{extension}"


class Files:
    """What a server did under its folder: (command, name) in order. `refuse_over`: it does not move onto an existing name."""

    def __init__(self, root: Path, *, refuse_over: bool = False) -> None:
        self.root, self.refuse_over = root, refuse_over
        self.did: list[tuple[str, str]] = []
        self.password = "pass-word"
        root.mkdir()

    def at(self, path: str) -> Path:
        return self.root / os.path.normpath("/" + path).lstrip("/")

    def note(self, what: str, path: str) -> None:
        self.did.append((what, str(self.at(path).relative_to(self.root))))

    def move(self, old: str, new: str) -> None:
        if self.refuse_over and self.at(new).exists():
            raise FileExistsError(new)
        self.at(old).rename(self.at(new))
        self.note("moved", new)

    def names(self) -> list[str]:
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())


# SFTP


class Door(paramiko.ServerInterface):  # type: ignore[misc]
    """Lets in who knows the password, to SFTP only."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        good = (username, password) == ("wire", self.files.password)
        return int(paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)


class Sftp(paramiko.SFTPServerInterface):  # type: ignore[misc]
    """A folder over SFTP."""

    def __init__(self, server: Door, *args: object, **options: object) -> None:
        super().__init__(server, *args, **options)
        self.files = server.files

    def stat(self, path: str) -> object:
        return self._tried(lambda: paramiko.SFTPAttributes.from_stat(self.files.at(path).stat()))

    lstat = stat

    def list_folder(self, path: str) -> object:
        return self._tried(lambda: [
            paramiko.SFTPAttributes.from_stat(one.stat(), one.name) for one in self.files.at(path).iterdir()
        ])  # fmt: skip

    def mkdir(self, path: str, attr: object) -> object:
        return self._tried(lambda: self.files.at(path).mkdir())

    def remove(self, path: str) -> object:
        return self._tried(lambda: self.files.at(path).unlink())

    def rename(self, oldpath: str, newpath: str) -> object:
        return self._tried(lambda: self.files.move(oldpath, newpath))

    posix_rename = rename

    def open(self, path: str, flags: int, attr: object) -> object:
        def opened() -> object:
            handle = paramiko.SFTPHandle(flags)
            mode = "r+b" if flags & (os.O_WRONLY | os.O_RDWR) else "rb"
            if flags & os.O_CREAT:
                self.files.note("wrote", path)
                self.files.at(path).touch()
            handle.readfile = handle.writefile = self.files.at(path).open(mode)
            return handle

        return self._tried(opened)

    def _tried(self, act: Callable[[], object]) -> object:
        try:
            answer = act()
            return paramiko.SFTP_OK if answer is None else answer
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 4)


@contextmanager
def sftp(files: Files) -> Iterator[int]:
    """A server over SFTP. Yields its port."""
    key, listener = paramiko.ECDSAKey.generate(), socket.create_server(("127.0.0.1", 0))
    open_: list[paramiko.Transport] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            open_.append(transport)
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Sftp)
            transport.start_server(threading.Event(), Door(files))

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
    for transport in open_:
        transport.close()


# FTP


class Ftp(socketserver.StreamRequestHandler):
    """As much of RFC 959 as a client needs that keeps files: passive mode, binary, one folder."""

    files: Files

    def handle(self) -> None:
        self.cwd, self.old, self.begin = "/", "", 0
        self.data: socket.socket | None = None
        self.say("220 ready")
        for line in self.rfile:
            word, _, rest = line.decode().strip().partition(" ")
            try:
                answer = getattr(self, "do_" + word.lower(), lambda _: "502 unknown")(rest)
            except FileNotFoundError:
                answer = "550 no such file"
            except OSError as error:
                answer = f"553 {error}"
            if self.data is not None and word not in ("PASV", "REST", "TYPE"):
                self.data.close()
                self.begin = 0
            self.say(answer)
            if word == "QUIT":
                return

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def do_user(self, _: str) -> str:
        return "331 password"

    def do_pass(self, given: str) -> str:
        return "230 in" if given == self.files.password else "530 no"

    def do_type(self, _: str) -> str:
        return "200 ok"

    def do_rest(self, begin: str) -> str:
        self.begin = int(begin)
        return "350 ok"

    def do_pwd(self, _: str) -> str:
        return f'257 "{self.cwd}"'

    def do_cwd(self, path: str) -> str:
        if not self.files.at(path).is_dir():
            return "550 no folder"
        self.cwd = path
        return "250 ok"

    def do_mkd(self, path: str) -> str:
        self.files.at(path).mkdir()
        return f'257 "{path}"'

    def do_size(self, path: str) -> str:
        return f"213 {self.files.at(path).stat().st_size}"

    def do_dele(self, path: str) -> str:
        self.files.at(path).unlink()
        return "250 gone"

    def do_rnfr(self, path: str) -> str:
        self.files.at(path).stat()
        self.old = path
        return "350 to?"

    def do_rnto(self, path: str) -> str:
        self.files.move(self.old, path)
        return "250 moved"

    def do_quit(self, _: str) -> str:
        return "221 bye"

    def do_pasv(self, _: str) -> str:
        self.data = socket.create_server(("127.0.0.1", 0))
        port = self.data.getsockname()[1]
        return f"227 (127,0,0,1,{port >> 8},{port & 255})"

    def do_stor(self, path: str) -> str:
        with self.files.at(path).open("r+b" if self.begin else "wb") as file, self.channel() as channel:
            self.files.note("wrote", path)
            file.seek(self.begin)
            while part := channel.recv(65536):
                file.write(part)
        return "226 kept"

    def do_retr(self, path: str) -> str:
        body = self.files.at(path).read_bytes()[self.begin :]
        with self.channel() as channel:
            channel.sendall(body)
        return "226 sent"

    def do_mlsd(self, path: str) -> str:
        rows = [
            f"type={'dir' if one.is_dir() else 'file'};size={one.stat().st_size}; {one.name}\r\n"
            for one in self.files.at(path or self.cwd).iterdir()
        ]
        with self.channel() as channel:
            channel.sendall("".join(rows).encode())
        return "226 listed"

    def channel(self) -> socket.socket:
        assert self.data is not None
        self.say("150 coming")
        return self.data.accept()[0]


class FtpServer(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address, block_on_close = True, True, False


@contextmanager
def ftp(files: Files) -> Iterator[int]:
    """A server over FTP. Yields its port."""
    with FtpServer(("127.0.0.1", 0), type("Handler", (Ftp,), {"files": files})) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


# What both do


Served = tuple[Files, str, dict[str, object]]


@pytest.fixture(params=[("sftp", False), ("sftp", True), ("ftp", False), ("ftp", True)], ids=lambda p: f"{p[0]}-{p[1]}")
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """A server that moves onto existing names, or refuses to; the address of the target, and the options of its driver."""
    scheme, refuses = request.param
    files = Files(tmp_path / "served", refuse_over=refuses)
    with (sftp if scheme == "sftp" else ftp)(files) as port:
        yield files, f"{scheme}://wire:{files.password}@127.0.0.1:{port}/out", {}


def put(served: Served, name: str, body: bytes) -> storage.StorageReceipt:
    return storage.put(served[1], name, body, served[2])


def test_a_file_is_written_under_another_name_and_moved(served: Served) -> None:
    files = served[0]
    name = layout(LAYOUT, layout_values(event(), "json"))
    receipt = put(served, name, BODY)
    assert (receipt.written, receipt.size) == (True, len(BODY))
    assert files.names() == [f"out/{name}"]
    assert (files.root / "out" / name).read_bytes() == BODY
    assert [what for what, _ in files.did] == ["wrote", "moved"]
    (_, draft), (_, final) = files.did
    assert (Path(draft).parent, Path(draft).name[0], Path(draft).suffix) == (Path(final).parent, ".", ".part")
    assert final == f"out/{name}"
    assert files.password not in receipt.url


def test_the_same_again_writes_nothing_and_others_replace_it(served: Served) -> None:
    files = served[0]
    put(served, "a/b.json", BODY)
    assert put(served, "a/b.json", BODY).written is False
    assert len(files.did) == 2
    assert put(served, "a/b.json", BODY * 2000).written is True
    assert files.names() == ["out/a/b.json"]
    assert (files.root / "out/a/b.json").read_bytes() == BODY * 2000


def test_a_hostile_value_stays_one_part_of_a_path(served: Served) -> None:
    values = layout_values(event(), "json") | {"section": "../../etc/пас wd\r\nDELE x"}
    name = layout("{section}/{article_id}.{extension}", values)
    put(served, name, BODY)
    (made,) = served[0].names()
    assert (made.count("/"), made.startswith("out/"), "\n" in made) == (2, True, False)


def test_a_wrong_password_is_no_matter_of_time(served: Served) -> None:
    with pytest.raises(Rejected) as told:
        storage.put(served[1].replace("pass-word", "pass-wrong"), "a.json", BODY, served[2])
    assert told.value.reason == "no-permission"
    assert "pass-wrong" not in told.value.detail


@pytest.mark.parametrize("scheme", ["sftp", "ftp"])
def test_a_server_that_is_not_there_is_tried_again(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Retryable) as told:
        storage.put(f"{scheme}://wire:x@127.0.0.1:{port}/out", "a.json", BODY)
    assert told.value.reason == "storage-unreachable"
