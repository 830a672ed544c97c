#!/usr/bin/env bash
# aiohttp 3.14.5: a session's own resolver is asked about names alone. A host that is written as a
# number, in the first address or in a redirect, is connected to without it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check aiohttp==3.14.5 2>/dev/null
cat >"$folder/try.py" <<'PYTHON'
import asyncio

import aiohttp
from aiohttp import web
from aiohttp.resolver import DefaultResolver

asked = []


class Noting(DefaultResolver):
    async def resolve(self, host, *given, **more):
        asked.append(host)
        return await super().resolve(host, *given, **more)


async def main():
    async def page(request):
        return web.Response(text="page")

    async def on(request):
        raise web.HTTPFound(f"http://127.0.0.1:{port}/page")

    app = web.Application()
    app.add_routes([web.get("/page", page), web.get("/on", on)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    connector = aiohttp.TCPConnector(resolver=Noting(), use_dns_cache=False, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        for where in (f"localhost:{port}/page", f"127.0.0.1:{port}/page", f"localhost:{port}/on"):
            asked.clear()
            async with session.get(f"http://{where}") as answer:
                hosts = sorted({str(one.url.host) for one in answer.history} | {answer.url.host})
                print(where.split(":")[0], where.rpartition("/")[2], "visited", *hosts, "asked", *asked)
    await runner.cleanup()


asyncio.run(main())
PYTHON
found=$("$folder/venv/bin/python" "$folder/try.py")
echo "aiohttp 3.14.5"
echo "$found"
wanted="localhost page visited localhost asked localhost
127.0.0.1 page visited 127.0.0.1 asked
localhost on visited 127.0.0.1 localhost asked localhost"
[ "$found" = "$wanted" ]
