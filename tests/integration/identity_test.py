"""Who the client is, under which id a request travels, and answers of our own: by trust, by Accept, with what fits."""
import json
import re
import unittest

from harness import Story, wait_until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


class IdentityTest(Story):
    def serve(self, trusted):
        self.app = self.origin("app")
        understudy = self.proxy(self.config([self.app.address], listen='trusted_proxies = ["127.0.0.0/8", "10.0.0.0/8"]\n' if trusted else "",
                                            more='[log]\naccess = { format = "json", path = "%s" }\n' % self.path("access.log")))
        self.await_healthy(understudy, self.app.address)
        return understudy

    def forwarded(self, lines):
        s = self.connect()
        s.sendall(b"GET /headers HTTP/1.1\r\nHost: site.example\r\n" + b"".join(l.encode() + b"\r\n" for l in lines) + b"\r\n")
        status, headers, body = self.read_answer(s)
        self.assertEqual(status, 200)
        fields = {}
        for line in body.decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(": ")
            if name:
                fields.setdefault(name.lower(), []).append(value)
        return headers, fields

    FORGED = ["X-Forwarded-For: 6.6.6.6", "x-forwarded-for: 7.7.7.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "X-Forwarded-Port: 1",
              "X-Real-IP: 6.6.6.6", "Forwarded: for=6.6.6.6;proto=https", "True-Client-IP: 6.6.6.6", "X_Forwarded_For: 6.6.6.6", "X.Forwarded.For: 6.6.6.6",
              "X-Original-URL: /admin", "X-Rewrite-URL: /admin", "X-HTTP-Method-Override: DELETE", "X-Request-Id: forged-forged-forged", "traceparent: 00-bad",
              "tracestate: a=b", "Understudy-Epoch: 99", "Connection: close, X-Forwarded-For, X-Request-Id, X-Real-IP, Host, Authorization", "Authorization: Basic x"]

    def test_a_stranger_is_believed_nothing(self):
        self.serve(False)
        headers, fields = self.forwarded(self.FORGED)
        self.assertEqual(fields["x-forwarded-for"], ["127.0.0.1"])
        self.assertEqual(fields["x-real-ip"], ["127.0.0.1"])
        self.assertEqual(fields["x-forwarded-proto"], ["http"])
        self.assertEqual(fields["x-forwarded-host"], ["site.example"])
        self.assertEqual(fields["host"], ["site.example"])
        self.assertEqual(fields["authorization"], ["Basic x"])       # a nomination of it is ignored
        self.assertRegex(fields["x-request-id"][0], r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        self.assertEqual(headers["x-request-id"], fields["x-request-id"][0])
        self.assertRegex(fields["traceparent"][0], r"^00-[0-9a-f]{32}-[0-9a-f]{16}-01$")
        for name in ("forwarded", "true-client-ip", "x_forwarded_for", "x.forwarded.for", "x-original-url", "x-rewrite-url", "x-http-method-override",
                     "tracestate", "understudy-epoch", "connection"):
            self.assertNotIn(name, fields)
        self.assertNotIn("6.6.6.6", str(fields))

    def test_a_trusted_proxy_is_appended_to_and_walked_from_the_right(self):
        self.serve(True)
        long_id = "A.b_c-" + "x" * 122                              # 128 characters
        headers, fields = self.forwarded(["X-Forwarded-For: 6.6.6.6, 203.0.113.9", "X-Forwarded-For: 10.1.2.3", "X-Forwarded-Proto: https", "X-Forwarded-Host: outer.example",
                                          "Forwarded: for=203.0.113.9", "X-Request-Id: " + long_id, "traceparent: " + TRACE, "tracestate: a=b"])
        self.assertEqual(fields["x-forwarded-for"], ["6.6.6.6, 203.0.113.9, 10.1.2.3, 127.0.0.1"])
        self.assertEqual(fields["x-real-ip"], ["203.0.113.9"])      # the first from the right that is not trusted
        self.assertEqual(fields["x-forwarded-proto"], ["https"])
        self.assertEqual(fields["x-forwarded-host"], ["outer.example"])
        self.assertTrue(fields["forwarded"][0].startswith("for=203.0.113.9, for=127.0.0.1"))
        self.assertEqual(fields["x-request-id"], [long_id])
        self.assertEqual(headers["x-request-id"], long_id)
        self.assertEqual(fields["traceparent"][0][:36], TRACE[:36])
        self.assertNotEqual(fields["traceparent"][0][36:52], TRACE[36:52])   # a span of our own
        self.assertEqual(fields["traceparent"][0][-2:], "00")
        self.assertEqual(fields["tracestate"], ["a=b"])
        def logged():
            with open(self.path("access.log")) as f:
                return [json.loads(l) for l in f if l.endswith("\n")]
        self.assertEqual(wait_until(logged)[-1]["client_ip"], "203.0.113.9")
        self.assertEqual(logged()[-1]["request_id"], long_id)
        for bad in ("short", "x" * 129, "with space in it", "semi;colon;id"):
            _, fields = self.forwarded(["X-Request-Id: " + bad])
            self.assertRegex(fields["x-request-id"][0], r"^[0-9a-f-]{36}$")


class OwnAnswerTest(Story):
    def test_own_answers_speak_html_or_json_and_tell_id_and_retry_after(self):
        app = self.origin("app")
        understudy = self.proxy(self.config([app.address], pool='panic_threshold = "0%"\n', more='[[route]]\nmatch = { host = "*.site.example", path = "/only/*" }\npool = "app"\n'))
        self.await_healthy(understudy, app.address)
        for accept, kind in (("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"), ("application/json", "application/json"),
                             ("application/problem+json", "application/json"), ("*/*", "text/html; charset=utf-8"), ("text/html;q=0.1, application/json", "application/json"),
                             (None, "text/html; charset=utf-8")):
            status, headers, body = self.request(path="/other", headers={"Host": "a.site.example", **({"Accept": accept} if accept else {})})
            self.assertEqual((status, headers["content-type"]), (404, kind), accept)
            self.assertEqual(headers["cache-control"], "no-store")
            self.assertIn(headers["x-request-id"].encode(), body)
            self.assertNotIn("server", headers)
            if kind == "application/json":
                self.assertEqual(json.loads(body)["status"], 404)
        understudy.cli("maintenance", "app", "on", "--for", "60s")
        status, headers, _ = self.request(path="/only/x", headers={"Host": "a.site.example"})
        self.assertEqual(status, 503)
        self.assertIn(int(headers["retry-after"]), range(55, 61))
        understudy.cli("maintenance", "app", "off")
        app.kill()
        def down():
            return self.request(path="/only/x", headers={"Host": "a.site.example"})[0] == 503
        wait_until(down)
        status, headers, _ = self.request("HEAD", "/only/x", headers={"Host": "a.site.example"})
        self.assertEqual(status, 503)
        self.assertIn(int(headers["retry-after"]), range(1, 6))


class RoutesTest(Story):
    def test_routes_match_what_they_say(self):
        app, other = self.origin("app"), self.origin("other")
        understudy = self.proxy(self.config([app.address], more="""
[pool.other]
primary = ["%s"]
[[route]]
match = { host = "exact.example", path = "/exact" }
pool = "other"
[[route]]
match = { host = "*.wild.example", path = "/below/*" }
pool = "other"
[[route]]
match = { host = "exact.example", path = "/**/deep.txt" }
pool = "other"
[[route]]
match = { host = "exact.example", path = "/m", methods = ["PUT", "DELETE"] }
pool = "other"
[[route]]
match = { host = "exact.example", headers = { X-Beta = "*", X-Kind = "one" } }
pool = "other"
[[route]]
match = { host = "exact.example", path = "/old/*" }
redirect = { to = "https://{host}/new{path}?{query}", status = 301 }
[[route]]
match = { host = "exact.example", path = "/teapot" }
respond = { status = 418, body = '{"tea":true}', content_type = "application/json" }
[[route]]
match = { host = "exact.example", path = "/v1/*" }
pool = "app"
strip_prefix = "/v1"
add_prefix = "/inner"
request_headers = { remove = ["X-Gone"], set = { X-Set = "new", Host = "inner.example" }, add = { X-Add = "two" } }
response_headers = { remove = ["X-None"], set = { X-Out = "out" }, add = { Vary = "X" } }
[[route]]
match = { host = "exact.example", path = "/app/*" }
pool = "app"
""" % other.address))
        self.await_healthy(understudy, app.address, other.address)

        def who(path, host="exact.example", method="GET", headers=None):
            status, got, body = self.request(method, path, headers={"Host": host, **(headers or {})})
            return body.decode() if status == 200 else status
        for args, wanted in [
            (("/exact",), "hello from other"), (("/exact/",), 404), (("/Exact",), 404), (("/exact", "EXACT.example:8080"), "hello from other"),
            (("/below/x", "a.wild.example"), "hello from other"), (("/below/x", "a.b.wild.example"), "hello from other"), (("/below/x", "wild.example"), 404),
            (("/belowx", "a.wild.example"), 404), (("/a/b/deep.txt",), "hello from other"), (("/deep.txt",), "hello from other"),
            (("/m", "exact.example", "PUT"), "hello from other"), (("/m",), 405), (("/m", "exact.example", "POST"), 405),
            (("/q", "exact.example", "GET", {"X-Beta": "1", "X-Kind": "one"}), "hello from other"), (("/q", "exact.example", "GET", {"X-Beta": "1", "X-Kind": "two"}), 404),
            (("/app/x",), "hello from app"), (("/x", "unknown.example"), 404), (("/app/../exact",), 400), (("/app/%2e%2e/exact",), 400), (("/app%2fx",), 400), (("//exact",), 400),
        ]:
            with self.subTest(args):
                self.assertEqual(who(*args), wanted)
        status, headers, _ = self.request(path="/old/x?a=b", headers={"Host": "exact.example"})
        self.assertEqual((status, headers["location"]), (301, "https://exact.example/new/old/x?a=b"))
        status, headers, body = self.request(path="/teapot", headers={"Host": "exact.example"})
        self.assertEqual((status, headers["content-type"], body), (418, "application/json", b'{"tea":true}'))
        status, headers, _ = self.request("POST", "/m", headers={"Host": "exact.example"})
        self.assertEqual(headers["allow"], "PUT, DELETE")
        status, headers, body = self.request(path="/v1/headers", headers={"Host": "exact.example", "X-Gone": "1", "X-Set": "old", "X-Add": "one"})
        self.assertEqual(headers.get("x-out"), "out")
        text = body.decode()
        self.assertTrue(text.startswith("hello from app") or text.startswith("GET /inner/headers HTTP/1.1\r\n"), text[:60])


if __name__ == "__main__":
    unittest.main(verbosity=2)
