"""TLS on both sides: termination by name, client certificates, reload of certificates, verified upstreams."""
import socket
import ssl
import subprocess
import unittest

from harness import BINARY, Story, certificate, client_tls, wait_until


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
            understudy = self.proxy(self.config([secure.address], check="off = true" if False else "tcp = true",
                                                pool='retry = { max = 0 }\ntls = { server_name = "%s", ca = "%s" }\n' % (name, self.ca[0])))
            wait_until(lambda: self.request()[0] in (200, 502), 10)
            self.assertEqual(self.request()[0], status, name)
            understudy.kill()

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
