"""A language model behind an OpenAI-compatible server, such as Ollama's or vLLM's."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult, urlsplit

from retro_cli.errors import EndpointError, UsageError

KEYS = ("RETRO_API_KEY", "OPENAI_API_KEY")
_COMPLETIONS = "/chat/completions"
_LONGEST_LINE = 1 << 20  # bytes of one event, or of a whole answer that is not streamed
_LONGEST_TEXT = 1 << 20  # characters
_REASONS = {
    401: "set RETRO_API_KEY to a key that it accepts",
    403: "set RETRO_API_KEY to a key that it accepts",
    404: "check the URL, which often ends in /v1, and --endpoint-model",
    429: "it is busy: try again later",
}

Message = Mapping[str, str]


@dataclass(frozen=True)
class Endpoint:
    """url: of the API, with or without /chat/completions. model: None is the only one it serves.

    timeout: seconds without a word after which it is given up. key: sent as a bearer token.
    """

    url: str
    model: str | None = None
    timeout: float = 60.0
    key: str = ""

    def __post_init__(self) -> None:
        self._parts()
        if not self.timeout > 0:
            raise UsageError(f"a timeout of {self.timeout} s", "more than 0 seconds")

    def _parts(self) -> SplitResult:
        hint = "such as http://localhost:11434/v1"
        try:
            parts = urlsplit(self.url)
            parts.port  # noqa: B018 (it is parsed, and refused, when it is asked for)
        except ValueError as error:
            raise UsageError(f"--endpoint {self.url}: {error}", hint) from error
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise UsageError(f"--endpoint {self.url} is no http or https URL", hint)
        return parts

    def named(self) -> str:
        """The model that is asked. Raises EndpointError where there is not just one to ask."""
        return self.model or self._only_model

    def chat(
        self, messages: Sequence[Message], max_tokens: int, temperature: float = 0.0
    ) -> Iterator[str]:
        """The answer, piece by piece as it is sent.

        Raises EndpointError: no server, a refusal, silence, or what is no answer.
        """
        body = {
            "model": self.named(), "messages": [dict(message) for message in messages],
            "max_tokens": max_tokens, "temperature": temperature, "stream": True,
        }  # fmt: skip
        with self._asked("POST", _COMPLETIONS, body) as response:
            streamed = "event-stream" in response.getheader("Content-Type", "")
            pieces = self._streamed(response) if streamed else self._whole(response)
            length = 0
            for piece in pieces:
                length += len(piece)
                if length > _LONGEST_TEXT:
                    raise self._broken("it does not stop")
                yield piece

    @cached_property
    def _only_model(self) -> str:
        with self._asked("GET", "/models", None) as response:
            value = self._json(self._read(response))
        listed = value.get("data") if isinstance(value, dict) else None
        names = [
            str(each["id"]) for each in listed or [] if isinstance(each, dict) and "id" in each
        ]
        if len(names) != 1:
            shown = ", ".join(names[:8]) or "none that it names"
            raise EndpointError(
                f"{self.url} serves {len(names)} models",
                f"choose one with --endpoint-model: {shown}",
            )
        return names[0]

    @contextmanager
    def _asked(self, method: str, what: str, body: Any) -> Iterator[http.client.HTTPResponse]:
        parts = self._parts()
        port = parts.port
        connection = (
            http.client.HTTPSConnection(
                str(parts.hostname), port, timeout=self.timeout,
                context=ssl.create_default_context(),
            )
            if parts.scheme == "https"
            else http.client.HTTPConnection(str(parts.hostname), port, timeout=self.timeout)
        )  # fmt: skip
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, _path(parts.path, what), data, self._headers())
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise self._refused(response)
            yield response
        except TimeoutError as error:
            raise EndpointError(
                f"{self.url} said nothing for {self.timeout:g} s",
                "wait longer with --endpoint-timeout, or ask a smaller model",
            ) from error
        except http.client.HTTPException as error:
            raise self._broken(f"{type(error).__name__}") from error
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            raise EndpointError(
                f"{self.url} cannot be reached ({reason})", "is the server running there?"
            ) from error
        finally:
            connection.close()

    def _headers(self) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream, application/json",
        }
        return {**headers, "Authorization": f"Bearer {self.key}"} if self.key else headers

    def _refused(self, response: http.client.HTTPResponse) -> EndpointError:
        said = _said(response.read(1 << 14))
        status = response.status
        hint = _REASONS.get(status, "its log may say more" if status >= 500 else "check the URL")
        if 300 <= status < 400:
            hint = f"it points to {response.getheader('Location', 'another place')}: give that URL"
        return EndpointError(
            f"{self.url} answered {status} {response.reason}{': ' if said else ''}{said}", hint
        )

    def _whole(self, response: http.client.HTTPResponse) -> Iterator[str]:
        """The one piece of a server that does not stream."""
        choice = self._choice(self._json(self._read(response)))
        yield self._content(choice.get("message"))

    def _streamed(self, response: http.client.HTTPResponse) -> Iterator[str]:
        for data in self._events(response):
            if data == "[DONE]":
                return
            value = self._json(data)
            if isinstance(value, dict) and value.get("error"):
                raise self._broken(_said(data.encode()))
            if isinstance(value, dict) and not value.get("choices", True):
                continue  # the count of tokens, which some servers send last
            choice = self._choice(value)
            if text := self._content(choice.get("delta")):
                yield text
            if choice.get("finish_reason"):
                return
        raise self._broken("the answer breaks off")

    def _events(self, response: http.client.HTTPResponse) -> Iterator[str]:
        """The data of server-sent events; each is one line here."""
        while line := response.readline(_LONGEST_LINE + 1):
            if len(line) > _LONGEST_LINE:
                raise self._broken("a line of it is too long")
            if line.startswith(b"data:"):
                yield line[5:].decode("utf-8", "replace").strip()

    def _read(self, response: http.client.HTTPResponse) -> str:
        data = response.read(_LONGEST_LINE + 1)
        if len(data) > _LONGEST_LINE:
            raise self._broken("it is too long")
        return data.decode("utf-8", "replace")

    def _json(self, text: str) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._broken(f"not JSON: {_line(text)}") from error

    def _choice(self, value: Any) -> Mapping[str, Any]:
        choices = value.get("choices") if isinstance(value, dict) else None
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            raise self._broken("it has no choices")
        return choices[0]

    def _content(self, message: Any) -> str:
        """The text of a message or of a piece of one; nothing where it has none."""
        content = message.get("content") if isinstance(message, dict) else ""
        if not isinstance(content, (str, type(None))):
            raise self._broken("its content is no text")
        return content or ""

    def _broken(self, what: str) -> EndpointError:
        return EndpointError(
            f"the answer of {self.url} cannot be used: {what}",
            "does it offer OpenAI's chat completions? The URL often ends in /v1",
        )


def key_of_environment() -> str:
    """What RETRO_API_KEY holds, else OPENAI_API_KEY; a header takes one line of ASCII.

    Raises UsageError.
    """
    name, key = next(((n, os.environ[n].strip()) for n in KEYS if os.environ.get(n)), ("", ""))
    if not (key.isascii() and (key.isprintable())):
        raise UsageError(f"{name} holds what is no key", "one line of plain characters")
    return key


def _path(base: str, what: str) -> str:
    """Where to ask: a URL may name the server, the API, or the completions."""
    base = base.rstrip("/").removesuffix(_COMPLETIONS)
    return (base or "/v1") + what


def _said(body: bytes) -> str:
    """The reason that a server gives, in one line."""
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "" if text.lstrip().startswith("<") else _line(text)
    found: Any = value.get("error", value) if isinstance(value, dict) else value
    if isinstance(found, dict):
        found = next((found[name] for name in ("message", "detail") if name in found), found)
    return _line(found if isinstance(found, str) else json.dumps(found))


def _line(text: str | Iterable[str]) -> str:
    words = " ".join(str(text).split())
    return words if len(words) <= 200 else words[:197] + "..."
