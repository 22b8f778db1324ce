"""In front of servers that others wrote (nginx, Node's ws, python3-websockets), driven by clients that others wrote (curl, wrk, fetch)."""
import hashlib
import os
import shutil
import subprocess
import unittest

from harness import Story, free_port, wait_until


class NginxTest(Story):
    def setUp(self):
        super().setUp()
        self.root = self.path("www")
        os.mkdir(self.root)
        os.chmod(self.folder, 0o755)
        self.big = os.urandom(1 << 20) * 100
        for name, data in (("big", self.big), ("small", b"small file"), ("healthz", b"ok")):
            with open(os.path.join(self.root, name), "wb") as f:
                f.write(data)
        port = free_port()
        conf = self.path("nginx.conf")
        with open(conf, "w") as f:
            f.write(f"""daemon off; master_process off; pid {self.folder}/nginx.pid; error_log stderr error;
events {{ worker_connections 512; }}
http {{ access_log off; client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p; fastcgi_temp_path {self.folder}/f;
uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
server {{ listen 127.0.0.1:{port}; root {self.root}; }} }}
""")
        self.start(["/usr/sbin/nginx", "-c", conf, "-p", self.folder])
        self.address = "127.0.0.1:%d" % port
        self.understudy = self.proxy(self.config([self.address]))
        self.await_healthy(self.understudy, self.address)
        self.url = "http://127.0.0.1:%d" % self.port

    def curl(self, *args):
        return subprocess.run(["curl", "-sS", "--max-time", "60", *args], capture_output=True, check=True).stdout

    def test_a_hundred_mebibytes_and_ranges_arrive_whole(self):
        digest = hashlib.sha256(self.big).hexdigest()
        self.assertEqual(hashlib.sha256(self.curl(self.url + "/big")).hexdigest(), digest)
        self.assertEqual(self.curl("-r", "1000-1999", self.url + "/big"), self.big[1000:2000])
        self.assertEqual(self.curl("--http1.0", self.url + "/small"), b"small file")
        head = self.curl("-I", self.url + "/big").decode()
        self.assertIn("Content-Length: %d" % len(self.big), head)

    def test_wrk_sees_no_error(self):
        out = subprocess.run(["wrk", "-t1", "-c32", "-d2s", self.url + "/small"], capture_output=True, text=True, check=True).stdout
        self.assertNotIn("Socket errors", out)
        self.assertNotIn("Non-2xx", out)
        self.assertIn("requests in", out)


class NodeTest(Story):
    def test_nodes_ws_and_fetch(self):
        if not shutil.which("node") or not os.path.isdir("/usr/share/nodejs/ws"):
            self.skipTest("node or its ws package is not installed")
        server = self.path("server.js")
        with open(server, "w") as f:
            f.write("""
const http = require('http'); const { WebSocketServer } = require('/usr/share/nodejs/ws');
const s = http.createServer((q, r) => { let n = 0; q.on('data', d => n += d.length); q.on('end', () => r.end('got ' + n)); });
new WebSocketServer({ server: s }).on('connection', w => w.on('message', (d, b) => w.send(d, { binary: b })));
s.listen(0, '127.0.0.1', () => console.log(s.address().port));
""")
        node = self.start(["node", server], stdout=subprocess.PIPE)
        address = "127.0.0.1:%d" % int(node.popen.stdout.readline())
        self.understudy = self.proxy(self.config([address]))
        self.await_healthy(self.understudy, address)
        client = self.path("client.js")
        with open(client, "w") as f:
            f.write("""
const { WebSocket } = require('/usr/share/nodejs/ws'); const port = process.argv[2];
(async () => {
  for (let i = 0; i < 50; i++) {
    const r = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'x'.repeat(i * 5000) });
    if (await r.text() !== 'got ' + i * 5000) throw new Error('fetch ' + i);
  }
  const w = new WebSocket(`ws://127.0.0.1:${port}/`, { perMessageDeflate: true });
  await new Promise((ok, bad) => { w.on('open', ok); w.on('error', bad); });
  for (const size of [0, 1, 125, 126, 65535, 65536, 1000000]) {
    const sent = Buffer.alloc(size, 'a'); w.send(sent);
    const got = await new Promise(ok => w.once('message', ok));
    if (!sent.equals(got)) throw new Error('ws ' + size);
  }
  w.close(4000, 'bye');
  const code = await new Promise(ok => w.once('close', ok));
  if (code !== 4000) throw new Error('close ' + code);
  console.log('fine');
  process.exit(0);
})().catch(e => { console.log(e); process.exit(1); });
""")
        result = subprocess.run(["node", client, str(self.port)], capture_output=True, text=True, timeout=60)
        self.assertEqual(result.stdout.strip(), "fine", result.stdout + result.stderr)


    def test_undici_with_pipelining_streams_and_aborts(self):
        if not shutil.which("node") or not os.path.isdir("/usr/share/nodejs/undici"):
            self.skipTest("node or its undici package is not installed")
        server = self.path("server.js")
        with open(server, "w") as f:
            f.write("""
const http = require('http');
const s = http.createServer((q, r) => { let n = 0; q.on('data', d => n += d.length); q.on('end', () => { r.setHeader('x-path', q.url); r.write(q.method + ' '); r.end('' + n); }); });
s.keepAliveTimeout = 30000; s.listen(0, '127.0.0.1', () => console.log(s.address().port));
""")
        node = self.start(["node", server], stdout=subprocess.PIPE)
        address = "127.0.0.1:%d" % int(node.popen.stdout.readline())
        understudy = self.proxy(self.config([address]))
        self.await_healthy(understudy, address)
        client = self.path("client.js")
        with open(client, "w") as f:
            f.write("""
const { Pool } = require('/usr/share/nodejs/undici'); const { Readable } = require('stream');
const pool = new Pool(`http://127.0.0.1:${process.argv[2]}`, { connections: 4, pipelining: 8 });
(async () => {
  const one = async i => {
    const big = i % 10 === 0;
    const body = big ? Readable.from((function* () { for (let k = 0; k < 20; k++) yield Buffer.alloc(9000 + k); })()) : undefined;
    const r = await pool.request({ path: '/p' + i, method: big ? 'PUT' : 'GET', body });
    const text = await r.body.text();
    if (r.statusCode !== 200 || r.headers['x-path'] !== '/p' + i || text !== (big ? 'PUT 180190' : 'GET 0')) throw new Error(i + ' ' + r.statusCode + ' ' + text);
  };
  for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 40 }, (_, k) => one(round * 40 + k)));
  for (let i = 0; i < 20; i++) {
    const stop = new AbortController();
    const p = pool.request({ path: '/abort', method: 'POST', body: Readable.from((async function* () { for (;;) { yield Buffer.alloc(1000); await new Promise(ok => setTimeout(ok, 1)); } })()), signal: stop.signal });
    setTimeout(() => stop.abort(), 5);
    await p.then(() => { throw new Error('not aborted'); }, e => { if (e.name !== 'AbortError' && e.code !== 'UND_ERR_ABORTED') throw e; });
  }
  await one(1);
  await pool.destroy();
  console.log('fine');
})().catch(e => { console.log(e); process.exit(1); });
""")
        result = subprocess.run(["node", client, str(self.port)], capture_output=True, text=True, timeout=60, env={**os.environ, "NODE_PATH": "/usr/share/nodejs"})
        self.assertEqual(result.stdout.strip(), "fine", result.stdout + result.stderr)
        self.assertEqual(understudy.metric("upstream_errors_total", endpoint=address), 0)


class PythonWebsocketsTest(Story):
    def test_python_websockets_echo_and_close(self):
        script = self.path("ws.py")
        with open(script, "w") as f:
            f.write("""
import asyncio, sys, websockets
async def echo(ws):
    async for m in ws: await ws.send(m)
async def main():
    if sys.argv[1] == 'serve':
        async with websockets.serve(echo, '127.0.0.1', 0, max_size=None) as s:
            print(s.sockets[0].getsockname()[1], flush=True); await asyncio.Future()
    async with websockets.connect('ws://127.0.0.1:%s/' % sys.argv[2], max_size=None) as ws:
        for n in (0, 1, 126, 70000, 3000000):
            await ws.send(b'x' * n); assert len(await ws.recv()) == n
        await (await ws.ping())
    print('fine')
asyncio.run(main())
""")
        server = self.start(["/usr/bin/python3", script, "serve"], stdout=subprocess.PIPE)
        address = "127.0.0.1:%d" % int(server.popen.stdout.readline())
        self.proxy(self.config([address], check="tcp = true"))
        result = subprocess.run(["/usr/bin/python3", script, "ask", str(self.port)], capture_output=True, text=True, timeout=60)
        self.assertEqual(result.stdout.strip(), "fine", result.stdout + result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
