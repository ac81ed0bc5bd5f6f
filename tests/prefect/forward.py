#!/usr/bin/env python3
"""Lets pods of the real tier reach a server outside: what connects to ADDRESS:PORT in a network namespace is passed on.

    python forward.py NETWORK_NAMESPACE ADDRESS PORT OUTSIDE_PORT      such as: /proc/4711/ns/net 10.96.0.1 4200 36113

Prints {"forwarding": PORT} when it listens, and ends when its standard input does.
"""

import asyncio
import ctypes
import json
import os
import socket
import sys
import threading


def listen_inside(namespace, address, port):
    """A socket stays in the namespace that it was made in; this process returns to its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as outside, open(namespace) as inside:
        if libc.setns(inside.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), namespace)
        listener = socket.create_server((address, port), backlog=128)
        if libc.setns(outside.fileno(), 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "back outside")
    return listener


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def main(namespace, address, port, outside_port):
    async def serve(reader, writer):
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", int(outside_port))
        except OSError:  # as if the server were here, and down
            writer.close()
            return
        await asyncio.gather(copy(reader, server_writer), copy(server_reader, writer))

    server = await asyncio.start_server(serve, sock=listen_inside(namespace, address, int(port)))
    print(json.dumps({"forwarding": int(port)}), flush=True)
    await server.serve_forever()


def end_with_input():
    while os.read(0, 4096):
        pass
    os._exit(0)


threading.Thread(target=end_with_input, daemon=True).start()
asyncio.run(main(*sys.argv[1:]))
