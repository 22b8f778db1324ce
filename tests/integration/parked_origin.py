"""An origin for fleets of parked tunnels. It acknowledges each message at once and writes it to its ledger a while later, as a database
does that flushes now and then; a Close makes it write at once. What it has not written when it is killed is lost.

  parked_origin.py LEDGER DELAY [PORT]      prints its port

A line of the ledger: `open PATH RESUME` for each WebSocket, `said TEXT` for each message. Any other GET is answered 200.
"""
import asyncio
import base64
import hashlib
import struct
import sys

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


async def read_frame(reader):
    """(fin, opcode, payload) of one frame of a client."""
    first, second = await reader.readexactly(2)
    size = second & 127
    if size == 126:
        size = struct.unpack(">H", await reader.readexactly(2))[0]
    elif size == 127:
        size = struct.unpack(">Q", await reader.readexactly(8))[0]
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(size)
    if mask != b"\0\0\0\0":
        payload = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
    return first & 128, first & 15, payload


def frame(opcode, payload):
    size = len(payload)
    return bytes([0x80 | opcode]) + (bytes([size]) if size < 126 else bytes([126]) + struct.pack(">H", size)) + payload


class Origin:
    def __init__(self, ledger, delay):
        self.ledger, self.delay = open(ledger, "a", buffering=1), delay

    def write(self, line):
        self.ledger.write(line + "\n")

    async def connection(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(l.split(b": ", 1) for l in head.split(b"\r\n")[1:] if b": " in l)
                fields = {name.lower(): value for name, value in fields.items()}
                if b"sec-websocket-key" in fields:
                    return await self.websocket(head.split(b" ")[1].decode(), fields, reader, writer)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def websocket(self, path, fields, reader, writer):
        accept = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + GUID).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        self.write("open %s %s" % (path, fields.get(b"understudy-resume", b"-").decode()))
        pending = {}
        message = b""
        while True:
            fin, opcode, payload = await read_frame(reader)
            if opcode == 9:
                writer.write(frame(10, payload))
            elif opcode == 8:
                for text, timer in pending.values():
                    timer.cancel()
                    self.write("said " + text)
                writer.write(frame(8, payload[:2]))
                await writer.drain()
                return
            elif opcode < 8:
                message += payload
                if not fin:
                    continue
                text, message = message.decode(), b""
                number = len(pending) and max(pending) + 1
                pending[number] = (text, asyncio.get_running_loop().call_later(self.delay, self.commit, pending, number))
                writer.write(frame(1, b"ack " + text.encode()[:40]))

    def commit(self, pending, number):
        self.write("said " + pending.pop(number)[0])


async def main():
    origin = Origin(sys.argv[1], float(sys.argv[2]))
    port = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    server = await asyncio.start_server(origin.connection, "127.0.0.1", port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
