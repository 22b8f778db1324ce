"""Alerts reach a server that errs, hangs and resets first; they are signed, told once, and hold nobody."""
import base64
import hashlib
import hmac
import http.server
import json
import socket
import ssl
import struct
import threading
import time
import unittest

from harness import SLOW, Story, certificate, wait_until

SECRET = "whsec_" + base64.b64encode(b"a key that nobody may see").decode()
KEY = b"a key that nobody may see"


class Receiver:
    """Takes POSTs; behaves as `script` says, one word a request ("500", "hang", "reset"), then answers 204."""

    def __init__(self, script=(), tls=None):
        self.script, self.seen, self.taken = list(script), [], []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.seen.append((self.headers["webhook-id"], time.monotonic()))
                word = receiver.script.pop(0) if receiver.script else "204"
                if word == "hang":
                    time.sleep(3 * SLOW)
                    return
                if word == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    return
                if word == "204":
                    receiver.taken.append((dict((k.lower(), v) for k, v in self.headers.items()), self.path, body))
                self.send_response(int(word))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def messages(self):
        return [json.loads(body) for _, _, body in self.taken]


class AlertTest(Story):
    def receiver(self, *args, **options):
        receiver = Receiver(*args, **options)
        self.addCleanup(receiver.close)
        return receiver

    def begin(self, alerts):
        with open(self.path("alert.secret"), "w") as f:
            f.write(SECRET + "\n")
        self.p1, self.p2, self.s1 = (self.origin(name) for name in ("p1", "p2", "s1"))
        self.text = self.config(
            [self.p1.address, self.p2.address], [self.s1.address],
            pool='[pool.app.failover]\nfailback = "after 1s"\nverify = "1s"\nramp = "0s"',
            more='[incidents]\nsettle = "2s"\n' + alerts)
        understudy = self.proxy(self.text)
        self.await_healthy(understudy, self.p1.address, self.p2.address, self.s1.address)
        return understudy

    def verify(self, headers, body):
        """As a receiver's library does."""
        text = ("%s.%s." % (headers["webhook-id"], headers["webhook-timestamp"])).encode() + body
        wanted = "v1," + base64.b64encode(hmac.new(KEY, text, hashlib.sha256).digest()).decode()
        self.assertIn(wanted, headers["webhook-signature"].split(" "))
        self.assertLess(abs(int(headers["webhook-timestamp"]) - time.time()), 300)
        self.assertEqual(json.loads(body)["id"], headers["webhook-id"])
        self.assertEqual(headers["content-type"], "application/json")

    def test_messages_arrive_in_order_once_and_signed_though_the_receiver_errs(self):
        receiver = self.receiver(["500", "hang", "reset"])
        understudy = self.begin(
            f'[alerts.ops]\nurl = "http://127.0.0.1:{receiver.port}/hooks?team=ops"\nsecret = "${{file:alert.secret}}"\ntimeout = "1s"')
        self.p1.kill()
        self.p2.kill()
        wait_until(lambda: understudy.active() == "standby", 10)
        self.assertEqual(self.request()[2], b"hello from s1", "nobody waits for an alert")
        wait_until(lambda: len(receiver.taken) >= 2, 20)
        first = receiver.taken[0]
        self.assertEqual(first[1], "/hooks?team=ops")
        self.assertEqual([ident for ident, _ in receiver.seen[:4]], [first[0]["webhook-id"]] * 4, "one message, tried again")
        pauses = [b[1] - a[1] for a, b in zip(receiver.seen, receiver.seen[1:4])]
        self.assertGreater(pauses[0], 0.45)
        self.assertGreater(pauses[2], 1.9)

        self.p1 = self.origin("p1", port=self.p1.port)
        self.p2 = self.origin("p2", port=self.p2.port)
        wait_until(lambda: any(m["type"] == "incident.closed" for m in receiver.messages()), 30)
        for headers, _, body in receiver.taken:
            self.verify(headers, body)
        messages = receiver.messages()
        self.assertEqual(len({m["id"] for m in messages}), len(messages), "each once")
        types = [m["type"] for m in messages]
        self.assertEqual(types[0], "incident.opened")
        self.assertEqual(types[-1], "incident.closed")
        moves = [(m["to"], m["trigger"]) for m in messages if m["type"] == "incident.moved"]
        self.assertEqual(moves, [("standby", "health"), ("primary", "health")])
        self.assertIn("incident.recovered", types)
        self.assertEqual({(m["pool"], m["incident"], m["severity"]) for m in messages}, {("app", 1, "major")})
        self.assertIn("'primary' lost", messages[types.index("incident.moved")]["reason"])

        metric = lambda result: understudy.metric("alerts_sent_total", target="ops", result=result)
        self.assertEqual(metric("delivered"), len(messages))
        self.assertEqual(metric("failed"), 3)
        self.assertEqual(metric("dropped"), 0)
        self.assertEqual(understudy.metric("alerts_waiting", target="ops"), 0)
        self.assertIn("alert ops cannot be delivered", understudy.events_text())
        self.assertIn("alert ops is delivered again", understudy.events_text())
        self.not_shown(understudy)

    def not_shown(self, understudy):
        for text in (understudy.events_text(), understudy.get("/api/v1/config")[1], understudy.get("/api/v1/status")[1],
                     understudy.get("/api/v1/incidents/1")[1], understudy.get("/metrics")[1]):
            self.assertNotIn(SECRET, text)
            self.assertNotIn(SECRET[6:], text)

    def test_one_that_never_answers_is_given_up_and_minor_trouble_is_told_to_who_wants_it(self):
        deaf, keen = self.receiver(["503"] * 1000), self.receiver()
        understudy = self.begin(
            f'[alerts.deaf]\nurl = "http://127.0.0.1:{deaf.port}/"\ngive_up_after = "1s"\nminor = true\n'
            f'[alerts.keen]\nurl = "http://localhost:{keen.port}/hook"\nminor = true\n'
            f'[alerts.calm]\nurl = "http://127.0.0.1:{keen.port}/calm"')
        self.p1.kill()
        wait_until(lambda: keen.taken, 10)
        self.assertEqual(keen.messages()[0]["severity"], "minor")
        self.assertNotIn("webhook-signature", keen.taken[0][0])
        wait_until(lambda: understudy.metric("alerts_sent_total", target="deaf", result="dropped") >= 1, 15)
        self.assertIn("a message of alert deaf was dropped: not delivered in time", understudy.events_text())
        self.assertNotIn("/calm", [path for _, path, _ in keen.taken])

    def test_a_test_message_tells_what_came_of_it(self):
        ca = certificate(self.folder, "ca")
        server = certificate(self.folder, "server", ["localhost", "127.0.0.1"], ca=ca)
        plain, secure = self.receiver(["204", "500"]), self.receiver(tls=server)
        understudy = self.begin(
            f'[alerts.ops]\nurl = "http://127.0.0.1:{plain.port}/"\nsecret = "${{file:alert.secret}}"\n'
            f'[alerts.secure]\nurl = "https://localhost:{secure.port}/in"\nca = "{ca[0]}"\nsecret = "${{file:alert.secret}}"\n'
            f'[alerts.strict]\nurl = "https://localhost:{secure.port}/in"\n')
        self.assertEqual(understudy.cli("alert", "test", "ops").stdout, "delivered\n")
        self.verify(plain.taken[0][0], plain.taken[0][2])
        self.assertEqual(plain.messages()[0]["type"], "test")
        self.assertEqual(understudy.cli("alert", "test", "secure").stdout, "delivered\n")
        self.verify(secure.taken[0][0], secure.taken[0][2])
        for name, why in (("ops", "answered 500"), ("strict", "TLS"), ("opps", "alerts: ops, secure, strict")):
            refused = understudy.cli("alert", "test", name, check=False)
            self.assertEqual(refused.returncode, 1, name)
            self.assertIn(why, refused.stderr)
        self.assertEqual(len(secure.taken), 1, "who cannot be verified is told nothing")

        # A reload that names a file which is not there changes nothing.
        understudy.write(self.text.replace(ca[0], self.path("gone.pem")))
        self.assertEqual(understudy.cli("reload", check=False).returncode, 1)
        self.assertEqual(understudy.cli("alert", "test", "secure").returncode, 0)


if __name__ == "__main__":
    unittest.main()
