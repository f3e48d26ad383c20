"""A fake provider in a process of its own: the dialects of chats and of the services beside them, scripted over HTTP.

    python tests/fakes/upstream.py --port 0        prints the port, serves until stdin closes or it is killed

One process plays many providers: `/p/{persona}/v1/chat/completions`, `…/v1/responses` (and `…/compact`), `…/v1/messages` (without `/p/…` the
persona is "default"); what stands before the endpoint may differ, as it does between providers. `POST /_script` takes
`{persona, model?, default?, queue?}` (see `behaviour.py`), `GET
/_journal?persona=` tells what was asked, `POST /_reset` forgets both. Without a script: 200, "Hello from {persona}",
usage 10/5. Gemini's model and whether to stream stand in the path, `…/models/{model}:generateContent`, and so do Claude's at
Vertex, `…/publishers/anthropic/models/{model}:rawPredict`, and Bedrock's, `…/model/{model}/converse`; `/token` issues
access tokens for signed claims. Jobs of fal, Replicate and DashScope are those of `speak_jobs.py`. The services beside chats are those of `speak_media.py`. A further dialect is a module like
`speak_openai.py` and a line in `SPEAKERS`.
"""

import argparse
import asyncio
import base64
import json
import sys
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import speak_anthropic
import speak_bedrock
import speak_cohere
import speak_compact
import speak_gemini
import speak_jobs
import speak_media
import speak_openai
import speak_responses
from behaviour import Behaviour, Scripts
from delivery import Cut, Gone, Sender, as_body
from feeds import Feeds

SPEAKERS: dict[str, Any] = {  # by the path's end
    "/chat/completions": speak_openai,
    "/messages": speak_anthropic,
    "/responses": speak_responses,
    "/responses/compact": speak_compact,
    "/chat": speak_cohere,
}
JOURNAL_LIMIT = 20_000
_EVENTS = "text/event-stream; charset=utf-8"


class Upstream:
    """All personas of this process: their scripts and what was asked of them."""

    def __init__(self) -> None:
        self.scripts = Scripts()
        self.feeds = Feeds()
        self.jobs = speak_jobs.Jobs()
        self.journal: list[dict[str, Any]] = []
        self._number = 0

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection until either side ends it."""
        try:
            while await self._one_request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, Gone):
            pass
        except Cut:
            writer.transport.abort()
        finally:
            writer.close()

    async def _one_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        pairs = (line.split(":", 1) for line in head[1:] if ":" in line)
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        parts = urlsplit(target)
        persona, path = _persona(parts.path)
        if parts.path.startswith("/_"):
            status, answer = self._control(method, parts.path, parts.query, await _body(reader, headers))
            await Sender(reader, writer, Behaviour()).plain(status, as_body(answer))
            return True
        if not self.scripts.reads_body(persona):
            self._entry(persona, method, target, headers, b"")
            self.scripts.next(persona, None)
            # A paused transport leaves the client's bytes in the socket, so its sending stalls for real.
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.get_running_loop().create_future()
        body = await _body(reader, headers)
        await self._answer(reader, writer, path, self._entry(persona, method, target, headers, body), body)
        return headers.get("connection", "").lower() != "close"

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        path: str,
        entry: dict[str, Any],
        body: bytes,
    ) -> None:
        if entry["method"] == "GET" and (listed := self.feeds.find(entry["persona"], path)) is not None:
            await asyncio.sleep(listed.delay_s)
            entry["status"] = listed.status
            await Sender(reader, writer, Behaviour()).plain(listed.status, listed.body)
            entry["done"] = True
            return
        if (told := self.jobs.follow(entry["method"], path, entry["persona"])) is not None:
            entry["status"], value, content_type = told
            data = value if isinstance(value, bytes) else as_body(value)
            await Sender(reader, writer, Behaviour()).plain(told[0], data, content_type)
            entry["done"] = True
            return
        request = entry["form"] or (entry["body"] if isinstance(entry["body"], dict) else {})
        model = _model_of(path, request)
        script = self.scripts.next(entry["persona"], model if isinstance(model, str) else None)
        if script.keep_body:
            entry["text"] = body.decode()
        sender = Sender(reader, writer, script)
        try:
            await self._behave(sender, script, path, request, entry)
            entry["done"] = True
        except (ConnectionError, Gone):
            entry["closed_early"] = True
            raise

    async def _behave(
        self, sender: Sender, script: Behaviour, path: str, request: dict[str, Any], entry: dict[str, Any]
    ) -> None:
        if script.hang == "headers":
            await sender.hang()
        await sender.pause(script.delay_s)
        speaker = _speaker(path)
        entry["status"] = script.status
        if script.status == 0:  # no reply at all
            raise Cut
        if speaker is None and path == "/token" and script.status == 200:
            entry["claims"] = speak_gemini.claims_of(entry["body"])
            await sender.plain(200, as_body(script.body or speak_gemini.token(entry["number"])))
        elif speaker is speak_media and script.status == 200 and script.error_in_200 is None and script.body is None:
            await self._media(sender, script, path, request, entry)
        elif speaker is speak_jobs and script.status == 200 and script.body is None:
            entry["status"], value = self.jobs.submit(path, entry, script)
            await sender.plain(entry["status"], as_body(value))
        elif speaker is None:
            status, value = (
                _other(path, entry["persona"], request) if script.status == 200 else (script.status, script.error)
            )
            entry["status"] = status
            await sender.plain(status, as_body(value))
        elif script.body is not None or script.body_base64 is not None:
            body = base64.b64decode(script.body_base64) if script.body is None else script.body.encode()
            await sender.plain(script.status, body, script.headers.get("Content-Type", "application/json"))
        elif script.status != 200:
            error = speaker.default_error(script.status) if script.error is None else script.error
            await sender.plain(script.status, as_body(error))
        elif _streams(path, request):
            frames = _frames(speaker, request, script, entry)
            await sender.stream(frames, getattr(speaker, "STREAM_TYPE", _EVENTS))
        elif script.error_in_200 is not None:
            await sender.plain(200, as_body(script.error_in_200))
        else:
            body = as_body(speaker.plain(request, script, entry["persona"], entry["number"]))
            await sender.plain(200, body[: len(body) // 2] if script.malformed else body)

    async def _media(
        self, sender: Sender, script: Behaviour, path: str, request: dict[str, Any], entry: dict[str, Any]
    ) -> None:
        if speak_media.streams(path, request):
            await sender.stream(_frames(speak_media, request, script, entry, path))
            return
        body, content_type = speak_media.answer(path, request, script, entry["persona"])
        await sender.plain(200, body[: len(body) // 2] if script.malformed else body, content_type)

    def _entry(self, persona: str, method: str, target: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        self._number += 1
        content_type = headers.get("content-type", "")
        form = speak_media.form_of(body, content_type) if content_type.startswith("multipart/") else None
        try:
            read: Any = json.loads(body) if body and form is None else form
        except ValueError:
            read = body.decode("utf-8", "replace")
        entry = {
            "number": self._number,
            "persona": persona,
            "method": method,
            "path": target,
            "headers": headers,
            "body": read,
            "form": form,
            "body_bytes": len(body),
            "model": _model_of(urlsplit(target).path, read),
            "at_s": time.time(),
            "status": None,
            "done": False,
            "closed_early": False,
        }
        if len(self.journal) < JOURNAL_LIMIT:
            self.journal.append(entry)
        return entry

    def _control(self, method: str, path: str, query: str, body: bytes) -> tuple[int, Any]:
        asked = parse_qs(query)
        try:
            if (method, path) == ("POST", "/_script"):
                scripts = json.loads(body)
                for script in scripts if isinstance(scripts, list) else [scripts]:
                    self.scripts.load(script)
                return 200, {"ok": True}
            if (method, path) == ("POST", "/_feed"):
                self.feeds.load(json.loads(body))
                return 200, {"ok": True}
            if (method, path) == ("POST", "/_reset"):
                self.scripts.clear()
                self.jobs = speak_jobs.Jobs()
                self.feeds.clear()
                self.journal.clear()
                return 200, {"ok": True}
            if (method, path) == ("GET", "/_journal"):
                persona = asked.get("persona", [None])[0]
                return 200, [entry for entry in self.journal if persona is None or entry["persona"] == persona]
        except (ValueError, TypeError, AttributeError) as error:
            return 400, {"error": str(error)}
        return 404, {"error": f"no {method} {path} here"}


def _persona(path: str) -> tuple[str, str]:
    if path.startswith("/p/"):
        persona, _, rest = path[3:].partition("/")
        return persona, f"/{rest}"
    return "default", path


def _speaker(path: str) -> Any:
    """Who answers at this address; None for addresses that are no chat."""
    if speak_jobs.is_submission(path):
        return speak_jobs
    if speak_gemini.model_in(path):
        return speak_media if speak_media.service_in(path) else speak_gemini
    if speak_bedrock.model_in(path):
        return speak_bedrock
    cloud_model = speak_anthropic.model_in(path)
    if cloud_model:
        return None if cloud_model == speak_anthropic.COUNTER else speak_anthropic
    if speak_media.service_in(path):
        return speak_media
    return next((speaker for end, speaker in SPEAKERS.items() if path.endswith(end)), None)


def _model_of(path: str, request: Any) -> Any:
    """The model that was asked for, in the address or in the body."""
    named = speak_gemini.model_in(path) or speak_bedrock.model_in(path) or speak_anthropic.model_in(path)
    in_body = request.get("model") if isinstance(request, dict) else None
    return in_body if named in (None, speak_anthropic.COUNTER) else named


def _streams(path: str, request: dict[str, Any]) -> bool:
    if speak_anthropic.model_in(path):
        return speak_anthropic.streams(path)
    return request.get("stream") is True or speak_gemini.streams(path) or speak_bedrock.streams(path)


def _frames(
    speaker: Any, request: dict[str, Any], script: Behaviour, entry: dict[str, Any], path: str | None = None
) -> Any:
    """The stream that the script wants: given frames, an error at its place, or the regular one."""
    if script.frames is not None:
        for frame in script.frames:
            yield frame, True
        return
    if script.error_in_200 is not None:
        yield speaker.error_frame(script.error_in_200), False
        return
    content = 0
    if path is not None:
        regular = speaker.frames(path, request, script, entry["persona"])
    else:
        regular = speaker.frames(request, script, entry["persona"], entry["number"])
    for frame, is_content in regular:
        if script.error_after is not None and is_content:
            if content == script.error_after:
                break
            content += 1
        yield frame, is_content
    if script.error_after is not None:
        yield speaker.error_frame(script.stream_error), False


def _other(path: str, persona: str, request: dict[str, Any]) -> tuple[int, Any]:
    if path.endswith("/models"):
        return 200, speak_openai.models(persona)
    if path == "/v1/messages/count_tokens" or speak_anthropic.model_in(path) == speak_anthropic.COUNTER:
        return 200, speak_anthropic.count_tokens(request)
    if path.endswith(speak_gemini.COUNTER):
        return 200, speak_gemini.count_tokens(request)
    return 404, {"error": {"message": f"Invalid URL (POST {path})", "type": "invalid_request_error", "code": None}}


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        parts = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return b"".join(parts)
    return await reader.readexactly(int(headers.get("content-length", "0")))


async def _serve(port: int) -> None:
    server = await asyncio.start_server(Upstream().connection, "127.0.0.1", port, limit=2**18, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    # The parent holds the other end of stdin: when it dies, so does this.
    loop.add_reader(sys.stdin.fileno(), lambda: sys.stdin.buffer.read1(1024) or ended.set())
    async with server:
        await ended.wait()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="A fake model provider for tests.")
    arguments.add_argument("--port", type=int, default=0, help="0: any free one; the port is printed")
    asyncio.run(_serve(arguments.parse_args().port))
