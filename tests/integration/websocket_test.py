"""Clients and servers that others wrote (python3-websockets, Node's ws) in all pairings through the proxy: every length boundary, fragments,
control frames between them, closes from each side, abrupt ends. What each side sees is what it would see without a proxy."""
import json
import os
import shutil
import subprocess
import unittest

from harness import SLOW, Process, Story, wait_until

NODE_WS = "/usr/share/nodejs/ws"

# Echoes; "fragments" is answered in three frames with a ping between them, "close" with Close 4002. Notes how each connection ended.
PYTHON_SERVER = r"""
import asyncio, json, sys, websockets
def note(**what):
    with open(sys.argv[1], 'a') as f: f.write(json.dumps(what) + '\n')
async def fragments(ws):
    yield 'one '
    await ws.ping()
    yield 'two '
    yield 'three'
async def serve(ws):
    try:
        async for m in ws:
            if m == 'fragments': await ws.send(fragments(ws))
            elif m == 'close': await ws.close(4002, 'server is done')
            else: await ws.send(m)
    except websockets.ConnectionClosedError: pass
    await ws.wait_closed()
    note(code=ws.close_code, reason=ws.close_reason)
async def health(path, headers):
    if path == '/healthz': return 200, [], b'ok'
async def main():
    async with websockets.serve(serve, '127.0.0.1', 0, max_size=None, process_request=health, ping_interval=None, compression=%(compression)s) as s:
        print(s.sockets[0].getsockname()[1], flush=True); await asyncio.Future()
asyncio.run(main())
"""

NODE_SERVER = r"""
const http = require('http'), fs = require('fs'); const { WebSocketServer } = require('%(ws)s');
const server = http.createServer((q, r) => r.end('ok'));
new WebSocketServer({ server, perMessageDeflate: %(deflate)s, maxPayload: 0 }).on('connection', ws => {
  ws.on('message', (m, binary) => {
    const text = binary ? '' : m.toString();
    if (text === 'fragments') {
      ws.send('one ', { fin: false }); ws.ping('between'); ws.send('two ', { fin: false }); ws.send('three', { fin: true });
    } else if (text === 'close') ws.close(4002, 'server is done');
    else ws.send(m, { binary });
  });
  ws.on('close', (code, reason) => fs.appendFileSync(process.argv[2], JSON.stringify({ code, reason: reason.toString() }) + '\n'));
  ws.on('error', () => {});
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
"""

PYTHON_CLIENT = r"""
import asyncio, os, sys, websockets
url = 'ws://127.0.0.1:%%s/ws' %% sys.argv[1]
connect = lambda: websockets.connect(url, max_size=None, ping_interval=None, compression=%(compression)s)
async def pieces(ws):
    yield b'a' * 70000
    await ws.ping(b'in the middle')
    yield b''
    yield b'b' * 126
async def main():
    async with connect() as ws:
        for n in (0, 1, 125, 126, 127, 65535, 65536, 1 << 20):
            sent = os.urandom(n)
            await ws.send(sent); assert await ws.recv() == sent, n
            await ws.send('t' * n); assert await ws.recv() == 't' * n, n
        await ws.send(pieces(ws)); assert await ws.recv() == b'a' * 70000 + b'b' * 126
        await (await ws.ping(b'x' * 125))
        await ws.send('fragments'); assert await ws.recv() == 'one two three'
        await ws.close(4001, 'client is done')
        assert ws.close_code == 4001, ws.close_code
    async with connect() as ws:
        await ws.send('close')
        try: await ws.recv(); assert False
        except websockets.ConnectionClosed as e: assert (e.code, e.reason) == (4002, 'server is done'), (e.code, e.reason)
    ws = await connect()
    await ws.send(b'last'); assert await ws.recv() == b'last'
    ws.transport.abort()
asyncio.run(main())
"""

NODE_CLIENT = r"""
const { WebSocket } = require('%(ws)s'), crypto = require('crypto'), assert = require('assert');
const open = () => new Promise((ok, no) => {
  const w = new WebSocket(`ws://127.0.0.1:${process.argv[2]}/ws`, { perMessageDeflate: %(deflate)s, maxPayload: 0 });
  w.on('open', () => ok(w)); w.on('error', no);
});
const next = w => new Promise((ok, no) => { w.once('message', (m, binary) => ok(binary ? m : m.toString())); w.once('close', no); });
const closed = w => new Promise(ok => w.once('close', (code, reason) => ok([code, reason.toString()])));
(async () => {
  let w = await open();
  for (const n of [0, 1, 125, 126, 127, 65535, 65536, 1 << 20]) {
    const sent = crypto.randomBytes(n);
    w.send(sent); assert(sent.equals(await next(w)), 'length ' + n);
    w.send('t'.repeat(n)); assert.strictEqual(await next(w), 't'.repeat(n));
  }
  w.send(Buffer.alloc(70000, 'a'), { fin: false }); w.ping('in the middle'); w.send(Buffer.alloc(0), { fin: false });
  w.send(Buffer.alloc(126, 'b'), { fin: true });
  assert((await next(w)).equals(Buffer.concat([Buffer.alloc(70000, 'a'), Buffer.alloc(126, 'b')])));
  const pong = new Promise(ok => w.once('pong', m => ok(m.toString()))); w.ping('x'.repeat(125)); assert.strictEqual(await pong, 'x'.repeat(125));
  w.send('fragments'); assert.strictEqual(await next(w), 'one two three');
  let end = closed(w); w.close(4001, 'client is done'); assert.strictEqual((await end)[0], 4001);
  w = await open(); end = closed(w); w.send('close'); assert.deepStrictEqual(await end, [4002, 'server is done']);
  w = await open(); w.send(Buffer.from('last')); assert.strictEqual((await next(w)).toString(), 'last'); w.terminate();
})().catch(e => { console.error(e); process.exit(1); });
"""


class WebSocketTest(Story):
    def interpreter(self, language, name, text, compress):
        fill = {"compression": "'deflate'" if compress else "None", "deflate": "true" if compress else "false", "ws": NODE_WS}
        script = self.path(name + (".py" if language == "python" else ".js"))
        with open(script, "w") as f:
            f.write(text % fill)
        return ["/usr/bin/python3" if language == "python" else "node", script]

    def pair(self, server, client, compress=False, websocket="true"):
        if "node" in (server, client) and (not shutil.which("node") or not os.path.isdir(NODE_WS)):
            self.skipTest("node or its ws package is not installed")
        notes = self.path("notes")
        command = self.interpreter(server, "server", PYTHON_SERVER if server == "python" else NODE_SERVER, compress)
        process = Process([*command, notes], stdout=subprocess.PIPE)
        self.processes.append(process)
        address = "127.0.0.1:%d" % int(process.popen.stdout.readline())
        access = self.path("access.log")
        understudy = self.proxy(self.config(
            [address], check="tcp = true", more='[log]\naccess = { format = "json", path = "%s" }\n[[route]]\npool = "app"\nwebsocket = %s\n' % (access, websocket)))
        self.await_healthy(understudy, address)
        command = self.interpreter(client, "client", PYTHON_CLIENT if client == "python" else NODE_CLIENT, compress)
        done = subprocess.run([*command, str(self.port)], capture_output=True, text=True, timeout=120 * SLOW)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

        def ends():
            with open(notes) as f:
                lines = [json.loads(l) for l in f if l.endswith("\n")]
            return lines if len(lines) == 3 else None
        def logged():
            lines = [l for l in self.access_lines(access) if l["status"] == 101]
            return lines if len(lines) == 3 else None
        wait_until(lambda: os.path.exists(notes))
        # The second and the third end at their own pace, so in either order.
        seen = {e["code"]: e["reason"] for e in wait_until(ends)}
        self.assertEqual(seen.get(4001), "client is done")
        self.assertIn(4002, seen)
        self.assertEqual(len(set(seen) & {1006, 1005}), 1)                # nobody said goodbye
        lines = {l["close_code"]: l for l in wait_until(logged)}
        self.assertEqual({code: l["closed_by"] for code, l in lines.items()}, {4001: "client", 4002: "endpoint", 0: "client"})
        self.assertEqual({code: l["messages_in"] for code, l in lines.items()}, {4001: 18, 4002: 1, 0: 1})
        self.assertEqual(lines[4001]["messages_out"], 18)
        self.assertEqual(understudy.metric("websocket_messages_total", direction="in"), 20)
        self.assertEqual(understudy.metric("websocket_closes_total", by="client", code="3000-4999"), 1)
        self.assertEqual(understudy.metric("websocket_closes_total", by="endpoint", code="3000-4999"), 1)
        self.assertNotIn("understudy_websocket_frame_errors_total{", understudy.get("/metrics")[1])

    def test_python_to_python(self):
        self.pair("python", "python")

    def test_node_client_to_python_server(self):
        self.pair("python", "node", websocket="{ strict = true, max_message = \"2MiB\" }")

    def test_python_client_to_node_server_compressed_on_a_strict_route(self):
        self.pair("node", "python", compress=True, websocket="{ strict = true }")

    def test_node_to_node_on_a_strict_route(self):
        self.pair("node", "node", websocket="{ strict = true, ping_interval = \"1s\" }")


if __name__ == "__main__":
    unittest.main(verbosity=2)
