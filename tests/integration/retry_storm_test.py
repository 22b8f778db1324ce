"""An endpoint that resets half of what it gets: retries stay within the budget, and what must not be repeated is not."""
import re
import threading
import unittest

from harness import SLOW, Story
from raw_origin import RawOrigin, read_head


class RetryStormTest(Story):
    def test_retries_stay_within_the_budget_and_posts_are_sent_once(self):
        seen = {"GET": 0, "POST": 0}
        lock = threading.Lock()

        def half(s, head):
            while head:
                method = head.split(b" ")[0].decode()
                length = re.search(rb"Content-Length: (\d+)", head)
                if length:
                    s.recv(int(length.group(1)))
                with lock:
                    seen[method] += 1
                    bad = seen[method] % 2 == 0
                if bad:
                    return          # closed without a word
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                head = read_head(s)

        raws = [RawOrigin(half) for _ in range(2)]
        for raw in raws:
            self.addCleanup(raw.stop)
        understudy = self.proxy(self.config([r.address for r in raws], check="tcp = true", server="workers = 4",
                                            pool='retry = { max = 3, budget = "20%", budget_floor = "1/s" }\npassive = { enabled = false }\n'))
        self.await_healthy(understudy, *[r.address for r in raws])
        for method, body in (("GET", None), ("POST", b"x")):
            with self.subTest(method):
                def client():
                    for _ in range(100):
                        self.request(method, "/x", body=body)
                threads = [threading.Thread(target=client) for _ in range(4)]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join(30 * SLOW)
        # 400 first attempts deposit 80; the floor adds one a second. A retry without proof that nothing was sent is paid for.
        self.assertGreater(seen["GET"], 420)
        self.assertLessEqual(seen["GET"], 400 + 80 + 15 * SLOW)
        self.assertEqual(seen["POST"], 400)
        self.assertGreater(understudy.metric("retries_refused_total"), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
