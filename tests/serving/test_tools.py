"""The database as tools of an assistant."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from retro_cli.database import Database
from retro_cli.serving.service import Service
from retro_cli.serving.settings import ServeSettings
from retro_cli.serving.tools import tools

TEXT = "the keeper of the light"


@pytest.fixture
def call(kept, llama):
    """Calls a tool of a server in this process."""
    service = Service(ServeSettings(kept, models=(llama,)))

    def run(name, **arguments):
        async def talk():
            async with Client(tools(service)) as client:
                return await client.call_tool(name, arguments)

        return asyncio.run(talk())

    yield run
    service.close()


def test_the_tools_are_query_and_ask_and_none_changes_anything(kept):
    async def talk():
        async with Client(tools(Service(ServeSettings(kept)))) as client:
            return await client.list_tools()

    found = {tool.name: tool for tool in asyncio.run(talk()).tools}
    assert set(found) == {"query", "ask"}
    assert "text" in found["query"].input_schema["required"]


def test_a_query_gives_the_hits_of_the_database(call, kept):
    found = call("query", text=TEXT, k=3, source=["letters"])
    assert not found.is_error
    with Database.open(kept) as database:
        hits = database.query(TEXT, 3, source=["letters"])
    given = json.loads(found.content[0].text)["hits"]
    assert [hit["chunk"] for hit in given] == [hit.chunk for hit in hits]


def test_a_question_is_answered_with_its_evidence(call):
    found = call("ask", question="who saw the boat?")
    assert not found.is_error
    assert json.loads(found.content[0].text)["evidence"]


@pytest.mark.parametrize(
    "arguments", [{"text": ""}, {"text": "a", "k": 1000}, {"text": "a", "source": ["nowhere"]}, {}]
)
def test_what_cannot_be_asked_is_an_error_that_the_assistant_reads(call, arguments):
    found = call("query", **arguments)
    assert found.is_error
    assert found.content[0].text


def test_the_command_speaks_the_protocol_on_its_standard_output(kept):
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "retro_cli", "mcp", str(kept)]
    )

    async def talk():
        async with Client(command) as client:
            return await client.call_tool("query", {"text": TEXT, "k": 2})

    found = asyncio.run(talk())
    assert len(json.loads(found.content[0].text)["hits"]) == 2
