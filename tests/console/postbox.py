"""A small SMTP server for tests, on asyncio in a thread of its own, with switches: STARTTLS, TLS from the first byte, a refusal."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import ssl
import threading
from email.message import EmailMessage


class Postbox:
    """Takes mail on loopback. `mails` are what arrived, `secure` whether each came over TLS, `users` who signed in with what.

    `refuse` is said in the place of taking a mail, "451 later" for instance. With `context` it offers STARTTLS, or with
    `at_once` speaks TLS from the first byte.
    """

    def __init__(self, context: ssl.SSLContext | None = None, *, at_once: bool = False) -> None:
        self.context, self.at_once = context, at_once
        self.refuse = ""
        self.mails: list[EmailMessage] = []
        self.secure: list[bool] = []
        self.users: list[tuple[str, str]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Postbox:
        self._thread.start()
        first = self.context if self.at_once else None
        started = asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=first)
        self._server = asyncio.run_coroutine_threadsafe(started, self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        here = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not here]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secure = self.at_once

        def say(line: str) -> None:
            writer.write(line.encode() + b"\r\n")

        say("220 postbox")
        try:
            while (line := (await reader.readline()).decode().strip()) and line.upper() != "QUIT":
                word = line.partition(" ")[0].upper()
                if word == "EHLO":
                    offered = "250-STARTTLS\r\n" if self.context and not secure else ""
                    say(f"250-postbox\r\n{offered}250 AUTH PLAIN")
                elif word == "STARTTLS" and self.context:
                    say("220 go on")
                    await writer.drain()
                    await writer.start_tls(self.context)
                    secure = True
                elif word == "AUTH":
                    _, user, password = base64.b64decode(line.rpartition(" ")[2]).decode().split("\0")
                    self.users.append((user, password))
                    say("235 welcome")
                elif word == "DATA":
                    await self._take(reader, writer, secure)
                else:
                    say("250 well")
            say("221 bye")
        except (ConnectionError, ssl.SSLError):
            return  # whoever does not trust our certificate hangs up
        finally:
            writer.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secure: bool) -> None:
        writer.write(b"354 go on\r\n")
        raw = (await reader.readuntil(b"\r\n.\r\n"))[:-3]
        if self.refuse:
            writer.write(self.refuse.encode() + b"\r\n")
            return
        self.mails.append(email.message_from_bytes(raw, EmailMessage, policy=email.policy.default))  # type: ignore[arg-type]
        self.secure.append(secure)
        writer.write(b"250 taken\r\n")
