"""A scriptable web server for the stories: run as a process of its own, so that it can be killed and stopped.

    origin.py NAME [--unix PATH | --bind IP] [--port N] [--record FILE] [--tls CERT KEY]     prints its port on the first line
              [--delay MS] [--status N] (of every answer but that of /healthz) [--health-delay MS]

Behaviour by path (query string gives numbers):
    /healthz              200, or 500 after a request to /sick
    /hello                200 "hello from NAME"
    /headers              200, the request head as it came, byte for byte
    /echo                 200, the request body
    /status/NNN           that status
    /chunked              chunked answer in three pieces, with a trailer
    /close                answer that ends with the connection
    /slow?ms=N            answers after N ms
    /hints                103 first, then 200
    /early                answers 200 before it has read the body, then closes
    /hang                 never answers; records "gone" when the client goes
    /bytes?n=N            N bytes
    /stall                a head that promises 100 bytes, 9 of them, and silence
    /fragile              answers; the next request on this connection ends it without an answer
    /sink                 reads the body away, answers with its length
    /raw?NAME             bytes from RAW below, as they stand
    /mood?...             from now on, for all but /healthz: delay=MS (ramp=MS: grows to it), errors=PERCENT, hang=1
                          (records "hang", and "gone" when the client goes),
                          rate=N (answers so many requests a second, one after the other); none: well again
    /data                 JSON with data.version, and the same in X-Data-Version: version=N of the mood, else 1; none with 0
    /post                 records "post ID" (header X-Id) with --record, answers 200
    upgrade on any path   WebSocket echo
"""
import asyncio
import base64
import hashlib
import os
import random
import ssl
import sys
import time
from urllib.parse import parse_qs, urlsplit

NAME = sys.argv[1]
ARGS = sys.argv[2:]
RECORD = os.open(ARGS[ARGS.index("--record") + 1], os.O_WRONLY | os.O_CREAT | os.O_APPEND) if "--record" in ARGS else None
SICK = False
MOOD = {"since": 0.0}


def mood_delay():
    """Seconds that an answer takes in the present mood."""
    if "delay" not in MOOD:
        return DELAY
    ramp = MOOD.get("ramp", 0)
    part = min(1.0, (time.monotonic() - MOOD["since"]) * 1000 / ramp) if ramp else 1.0
    return max(DELAY, MOOD["delay"] / 1000 * part)


def number(option):
    return int(ARGS[ARGS.index(option) + 1]) if option in ARGS else 0


DELAY, STATUS, HEALTH_DELAY = number("--delay") / 1000, number("--status"), number("--health-delay") / 1000

RAW = {
    "two_lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
    "length_and_chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "bad_status": b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
    "nul": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "bare_lf": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "not_http": b"SSH-2.0-OpenSSH\r\n",
    "half_head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "cut_body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
    "cut_chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nonly",
    "surplus": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
    "no_content_body": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    "many_103": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 12 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "huge_head": b"HTTP/1.1 200 OK\r\n" + b"X-Pad: " + b"a" * 70000 + b"\r\n\r\n",
    "many_fields": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % i for i in range(400)) + b"Content-Length: 0\r\n\r\n",
    "unasked_101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "bad_chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;\nxx\r\nabc\r\n0\r\n\r\n",
}


def record(line):
    if RECORD is not None:
        os.write(RECORD, (NAME + " " + line + "\n").encode())


def answer(status, body=b"", extra=b""):
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), extra, body)


async def read_body(reader, head):
    length = chunked = None
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == b"content-length":
            length = int(value)
        if key.lower() == b"transfer-encoding":
            chunked = True
    if chunked:
        body = b""
        while True:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
            if size == 0:
                await reader.readuntil(b"\r\n")
                return body
            body += await reader.readexactly(size)
            await reader.readexactly(2)
    return await reader.readexactly(length) if length else b""


async def count_body(reader, head):
    length = int([l for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:")][0].split(b":")[1])
    left = length
    while left:
        data = await reader.read(min(left, 1 << 20))
        if not data:
            return None
        left -= len(data)
    return length


async def websocket(reader, writer, head):
    key = [l for l in head.split(b"\r\n") if l.lower().startswith(b"sec-websocket-key:")][0].split(b":", 1)[1].strip()
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    if b"/wrong-accept" in head.split(b"\r\n")[0]:
        accept = base64.b64encode(b"x" * 20)
    if b"/refuse" in head.split(b"\r\n")[0]:
        writer.write(answer(403, b"no"))
        return
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    record("ws open")
    while True:
        first = await reader.readexactly(2)
        size = first[1] & 127
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await reader.readexactly(8), "big")
        mask = await reader.readexactly(4) if first[1] & 128 else b"\0\0\0\0"
        data = await reader.readexactly(size)
        if any(mask):
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
        op = first[0] & 15
        header = bytes([0x80 | op]) + (bytes([size]) if size < 126 else bytes([126]) + size.to_bytes(2, "big")
                                       if size < 65536 else bytes([127]) + size.to_bytes(8, "big"))
        writer.write(header + data)
        await writer.drain()
        if op == 8:
            record("ws close %d" % (int.from_bytes(data[:2], "big") if len(data) >= 2 else 0))
            return


async def one(reader, writer):
    global SICK
    head = (await reader.readuntil(b"\r\n\r\n"))[:-2]
    request = head.split(b"\r\n")[0].decode("latin-1").split(" ")
    method, target = request[0], request[1]
    url = urlsplit(target)
    path, query = url.path, parse_qs(url.query)
    if getattr(writer, "fragile", False):
        record("died %s" % method)
        return False
    if path == "/mood":
        MOOD.clear()
        MOOD.update({key: float(values[0]) for key, values in query.items()}, since=time.monotonic())
        writer.write(answer(200))
        await writer.drain()
        return True
    if path != "/healthz":
        await asyncio.sleep(mood_delay())
        if "rate" in MOOD:
            MOOD["free"] = max(MOOD.get("free", 0), time.monotonic()) + 1 / MOOD["rate"]
            await asyncio.sleep(MOOD["free"] - time.monotonic())
        if MOOD.get("hang"):
            await read_body(reader, head)
            record("hang")
            await reader.read(1)
            record("gone")
            return False
        if random.random() * 100 < MOOD.get("errors", 0):
            await read_body(reader, head)
            writer.write(answer(500, b"moody"))
            await writer.drain()
            return True
    if b"\r\nupgrade: websocket" in head.lower():
        await websocket(reader, writer, head)
        return False
    if path == "/raw":
        await read_body(reader, head)
        writer.write(RAW[url.query])
        await writer.drain()
        return url.query in ("surplus", "many_103", "no_content_body")
    if path == "/early":
        writer.write(answer(200, b"early", b"Connection: close\r\n"))
        await writer.drain()
        return False
    if path == "/hang":
        record("hang")
        await reader.read(1)
        record("gone")
        return False
    if path == "/sink":
        size = await count_body(reader, head)
        writer.write(answer(200, b"%d" % (size or 0)))
        await writer.drain()
        return True
    body = await read_body(reader, head)
    if path == "/healthz":
        await asyncio.sleep(HEALTH_DELAY)
        writer.write(answer(500 if SICK else 200, b"ok"))
    elif STATUS:
        record("failed " + method)
        writer.write(answer(STATUS, b"status"))
    elif path == "/stall":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
        await writer.drain()
        await reader.read(1)
        return False
    elif path == "/fragile":
        writer.fragile = True
        writer.write(answer(200, b"fragile"))
    elif path == "/sick":
        SICK = True
        writer.write(answer(200))
    elif path == "/well":
        SICK = False
        writer.write(answer(200))
    elif path == "/headers":
        writer.write(answer(200, head + b"\r\n"))
    elif path == "/echo":
        writer.write(answer(200, body))
    elif path.startswith("/status/"):
        status = int(path[8:])
        writer.write(b"HTTP/1.1 %d X\r\n\r\n" % status if status in (204, 304) else answer(status, b"status"))
    elif path == "/chunked":
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(b"4;ext=1\r\ndefg\r\n1\r\nh\r\n0\r\nX-Trailer: 1\r\n\r\n")
    elif path == "/close":
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        await writer.drain()
        return False
    elif path == "/slow":
        await asyncio.sleep(int(query["ms"][0]) / 1000)
        writer.write(answer(200, b"slow"))
    elif path == "/hints":
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" + answer(200, b"hinted"))
    elif path == "/bytes":
        n = int(query["n"][0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % n)
        block = bytes(range(256)) * 256
        while n > 0 and method != "HEAD":
            writer.write(block[: min(n, len(block))])
            n -= len(block)
            await writer.drain()
    elif path == "/data":
        version = int(MOOD.get("version", 1))
        writer.write(answer(200, b'{"data":{"version":%d}}' % version if version else b"{}",
                            b"X-Data-Version: %d\r\n" % version if version else b""))
    elif path == "/post":
        ident = [l for l in head.split(b"\r\n") if l.lower().startswith(b"x-id:")][0].split(b":")[1].strip().decode()
        record("post " + ident)
        writer.write(answer(200, b"done"))
    else:
        text = b"hello from " + NAME.encode()
        writer.write(answer(200, b"" if method == "HEAD" else text) if method != "HEAD"
                     else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text))
    await writer.drain()
    return b"\r\nconnection: close" not in head.lower()


async def serve(reader, writer):
    try:
        while await one(reader, writer):
            pass
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, OSError):
        pass
    finally:
        try:
            writer.close()
        except Exception:
            pass


async def main():
    tls = None
    if "--tls" in ARGS:
        at = ARGS.index("--tls")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(ARGS[at + 1], ARGS[at + 2])
    if "--unix" in ARGS:
        server = await asyncio.start_unix_server(serve, ARGS[ARGS.index("--unix") + 1], limit=1 << 20)
        print(0, flush=True)
    else:
        host = ARGS[ARGS.index("--bind") + 1] if "--bind" in ARGS else "127.0.0.1"
        server = await asyncio.start_server(serve, host, number("--port"), ssl=tls, limit=1 << 20, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
