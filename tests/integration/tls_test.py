"""TLS on both sides: termination by name, client certificates, reload of certificates, verified upstreams."""
import socket
import ssl
import threading
import unittest

from harness import Story, certificate, client_tls, wait_until


class TlsTest(Story):
    def setUp(self):
        super().setUp()
        self.app = self.origin("app")
        self.ca = certificate(self.folder, "ca")
        self.one = certificate(self.folder, "one.example", ca=self.ca)
        self.two = certificate(self.folder, "two.example", ("two.example", "*.two.example"), ca=self.ca)

    def listen(self, more=""):
        pair = lambda c: '{ certificate = "%s", key = "%s" }' % c
        return "tls = [%s, %s]\n%s" % (pair(self.one), pair(self.two), more)

    def ask(self, s, host):
        s.sendall(b"GET /hello HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode())
        return self.read_answer(s)

    def test_the_certificate_follows_the_name_and_a_foreign_host_is_misdirected(self):
        understudy = self.proxy(self.config([self.app.address], listen=self.listen()))
        self.await_healthy(understudy, self.app.address)
        for name in ("one.example", "two.example", "a.two.example"):
            s = self.connect(tls=client_tls(self.ca[0]), name=name)
            self.assertEqual(self.ask(s, name)[2], b"hello from app")
        self.assertEqual(self.ask(s, "one.example")[0], 421)
        self.assertEqual(s.version(), "TLSv1.3")
        self.assertGreater(understudy.metric("tls_certificate_expiry_timestamp_seconds", cn="one.example"), 1.7e9)
        self.assertGreaterEqual(understudy.metric("tls_handshakes_total", version="TLSv1.3", result="full"), 3)

    def test_certificates_are_reloaded_without_dropping_connections(self):
        understudy = self.proxy(self.config([self.app.address], listen=self.listen()))
        self.await_healthy(understudy, self.app.address)
        old = self.connect(tls=client_tls(self.ca[0]), name="one.example")
        serial = lambda s: s.getpeercert()["serialNumber"]
        before = serial(old)
        self.one = certificate(self.folder, "one.example", ca=self.ca)
        understudy.cli("reload")
        self.assertEqual(self.ask(old, "one.example")[0], 200)
        fresh = self.connect(tls=client_tls(self.ca[0]), name="one.example")
        self.assertNotEqual(serial(fresh), before)
        # A broken key is refused whole, and the old certificate keeps serving.
        with open(self.one[1], "w") as f:
            f.write("no key")
        result = understudy.cli("reload", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(serial(self.connect(tls=client_tls(self.ca[0]), name="one.example")), serial(fresh))

    def test_client_certificates_are_required_where_the_listener_says_so(self):
        more = 'client_ca = "%s"\nclient_auth = "require"\n' % self.ca[0]
        understudy = self.proxy(self.config([self.app.address], listen=self.listen(more)))
        self.await_healthy(understudy, self.app.address)
        context = client_tls(self.ca[0])
        with self.assertRaises((ssl.SSLError, ConnectionError, OSError, AssertionError)):
            s = self.connect(tls=context, name="one.example")
            self.ask(s, "one.example")
        context = client_tls(self.ca[0])
        context.load_cert_chain(*certificate(self.folder, "client", ca=self.ca))
        self.assertEqual(self.ask(self.connect(tls=context, name="one.example"), "one.example")[0], 200)

    def test_upstreams_are_verified_by_name(self):
        secure = self.origin("secure", "--tls", *certificate(self.folder, "app.internal", ca=self.ca))
        for name, status in (("app.internal", 200), ("other.internal", 502)):
            understudy = self.proxy(self.config([secure.address], check="tcp = true", server="workers = 1",
                                                pool='retry = { max = 0 }\ntls = { server_name = "%s", ca = "%s" }\n' % (name, self.ca[0])))
            wait_until(lambda: self.request()[0] in (200, 502), 10)
            self.assertEqual(self.request()[0], status, name)
            told = [line for line in understudy.events_text().splitlines() if "upstream_tls_failed" in line]
            if status == 200:
                self.assertEqual(told, [])
            else:
                self.assertEqual(len(told), 1, told)      # for several requests: not a line for each
                self.assertIn("pool=app endpoint=%s: the TLS handshake with %s failed: " % (secure.address, secure.address), told[0])
                self.assertIn("other.internal", told[0])
            understudy.kill()

    def test_handshakes_above_the_limit_are_refused_before_any_cryptography(self):
        understudy = self.proxy(self.config([self.app.address], server="workers = 1", listen=self.listen("max_handshakes = 10\n")))
        self.await_healthy(understudy, self.app.address)
        established = self.connect(tls=client_tls(self.ca[0]), name="one.example")
        half = [self.connect() for _ in range(40)]
        for s in half:
            try:
                s.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
            except ConnectionError:
                pass
        wait_until(lambda: understudy.metric("connections_rejected_total", reason="handshakes") == 30)
        self.assertEqual(self.ask(established, "one.example")[0], 200)
        for s in half:
            s.close()
        def served():
            try:
                return self.ask(self.connect(tls=client_tls(self.ca[0]), name="one.example"), "one.example")[0] == 200
            except OSError:
                return False
        wait_until(served)

    def test_versions_and_protocols(self):
        understudy = self.proxy(self.config([self.app.address], listen=self.listen()))
        self.await_healthy(understudy, self.app.address)
        for version, text in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            context = client_tls(self.ca[0])
            context.minimum_version = context.maximum_version = version
            context.set_alpn_protocols(["h2", "http/1.1"])
            s = self.connect(tls=context, name="one.example")
            self.assertEqual((s.version(), s.selected_alpn_protocol()), (text, "http/1.1"))
            self.assertEqual(self.ask(s, "one.example")[0], 200)
        context = client_tls(self.ca[0])
        context.set_alpn_protocols(["h2"])           # spoken here by nobody yet: refused, never answered in another protocol
        with self.assertRaises(OSError):
            self.connect(tls=context, name="one.example")
        # A name of no certificate is served the first one; its host is then misdirected.
        self.assertEqual(self.ask(self.connect(tls=client_tls(), name="nobody.example"), "nobody.example")[0], 421)

    def test_a_session_is_resumed_also_after_a_reload_and_never_for_another_name(self):
        understudy = self.proxy(self.config([self.app.address], listen=self.listen()))
        self.await_healthy(understudy, self.app.address)
        context = client_tls(self.ca[0])
        context.maximum_version = ssl.TLSVersion.TLSv1_2

        def visit(name, session=None):
            s = context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=10), server_hostname=name, session=session)
            self.addCleanup(s.close)
            self.assertEqual(self.ask(s, name)[0], 200)
            return s
        first = visit("one.example")
        self.assertTrue(visit("one.example", first.session).session_reused)
        understudy.cli("reload")
        self.assertTrue(visit("one.example", first.session).session_reused)
        self.assertFalse(visit("two.example", first.session).session_reused)

    def test_large_bodies_pass_through_tls_on_both_sides_and_our_certificate_is_shown_upstream(self):
        secure = self.origin("secure", "--tls", *certificate(self.folder, "app.internal", ca=self.ca))
        ours = certificate(self.folder, "proxy", ca=self.ca)
        understudy = self.proxy(self.config([secure.address], check="tcp = true", listen=self.listen(), pool='tls = { server_name = "app.internal", ca = "%s", '
                                            'certificate = "%s", key = "%s" }\n' % (self.ca[0], *ours)))
        self.await_healthy(understudy, secure.address)
        s = self.connect(tls=client_tls(self.ca[0]), name="one.example", timeout=30)
        s.sendall(b"GET /bytes?n=20000000 HTTP/1.1\r\nHost: one.example\r\n\r\n")
        status, _, body = self.read_answer(s)
        self.assertEqual((status, len(body), body[:256]), (200, 20_000_000, bytes(range(256))))
        for framing, data in ((b"Content-Length: 3000000\r\n\r\n", b"u" * 3_000_000), (b"Transfer-Encoding: chunked\r\n\r\n", b"f4240\r\n" + b"c" * 1_000_000 + b"\r\n0\r\n\r\n")):
            s.sendall(b"POST /echo HTTP/1.1\r\nHost: one.example\r\n" + framing + data)
            status, _, body = self.read_answer(s)
            self.assertEqual((status, len(body)), (200, 3_000_000 if b"Length" in framing else 1_000_000))

    def test_an_answer_that_lasts_until_the_end_is_cut_when_tls_did_not_end_it(self):
        cert = certificate(self.folder, "app.internal", ca=self.ca)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*cert)
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def serve():
            while True:
                try:
                    raw, _ = listener.accept()
                    s = context.wrap_socket(raw, server_side=True)
                    head = s.recv(4096)
                    s.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")
                    if b"/whole" in head:
                        s.settimeout(0.2)
                        s.unwrap()
                except OSError:
                    pass
                try:
                    s.shutdown(socket.SHUT_RDWR)
                    s.close()
                except (OSError, UnboundLocalError):
                    pass
        threading.Thread(target=serve, daemon=True).start()
        self.proxy(self.config(["127.0.0.1:%d" % listener.getsockname()[1]], check="off = true",
                               pool='passive = { enabled = false }\ntls = { server_name = "app.internal", ca = "%s" }\n' % self.ca[0]))
        ask = lambda path: self.raw(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path)
        self.assertTrue(ask(b"/whole").endswith(b"all of it\r\n0\r\n\r\n"))
        self.assertFalse(ask(b"/cut").endswith(b"\r\n0\r\n\r\n"))

    def test_plain_bytes_and_half_handshakes_harm_nobody(self):
        understudy = self.proxy(self.config([self.app.address], listen=self.listen("handshake_timeout = \"500ms\"\n")))
        self.await_healthy(understudy, self.app.address)
        self.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", timeout=3)
        half = [self.connect() for _ in range(50)]
        for s in half:
            s.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        for s in half:
            self.assertEqual(self.read_all(s), b"")
        self.assertEqual(self.ask(self.connect(tls=client_tls(self.ca[0]), name="one.example"), "one.example")[0], 200)
        self.assertEqual(understudy.metric("limit_hits_total", limit="handshake_timeout"), 50)


if __name__ == "__main__":
    unittest.main(verbosity=2)
