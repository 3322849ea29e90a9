"""How a driver is driven: JSON lines on standard input and output.

A request is one line: {"id": 1, "do": "say", "args": {...}}. Its answer is one line: {"id": 1, "ok": {...}} or
{"id": 1, "error": "..."}. Whatever else a driver has to tell it writes between the answers.
"""

import asyncio
import json
import sys


class Refused(Exception):
    """The server answered with an error."""


def write(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def handle(driver, request):
    try:
        result = await getattr(driver, request["do"])(**request.get("args", {}))
        write({"id": request["id"], "ok": result or {}})
    except Exception as error:
        write({"id": request["id"], "error": str(error) if isinstance(error, Refused) else repr(error)})


async def serve(driver):
    """Does what is asked, each request beside the others, until the input ends."""
    reader = asyncio.StreamReader(limit=16 * 1024 * 1024)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks = set()
    while line := await reader.readline():
        task = asyncio.create_task(handle(driver, json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
