"""Start-up time, and the time from a reload to the first answer by the new configuration, with 1,000 pools."""
import statistics
import time

from proxies import Haproxy, Nginx, Understudy


def pools(kind, count, origin_port):
    """Text of `count` further pools with a route each, in the language of that proxy."""
    if kind is Understudy:
        return "".join(f'[pool.p{i}]\nprimary = ["127.0.0.1:{origin_port}"]\n[[route]]\nmatch = {{ host = "h{i}.example.org" }}\npool = "p{i}"\n'
                       for i in range(count))
    if kind is Haproxy:
        return "".join(f"backend p{i}\n    server s 127.0.0.1:{origin_port} check inter 2s\n" for i in range(count))
    return "".join(f"upstream p{i} {{ server 127.0.0.1:{origin_port}; keepalive 16; }}\n"
                   f"server {{ listen 127.0.0.1:@HTTP@; server_name h{i}.example.org; location / {{ proxy_pass http://p{i}; }} }}\n"
                   for i in range(count))


def startup(makers, times, say):
    """{name: median seconds from exec to the first 200}."""
    out = {}
    for name, make in makers.items():
        taken = []
        for _ in range(times):
            proxy = make()
            try:
                taken.append(proxy.start())
            finally:
                proxy.stop()
        out[name] = statistics.median(taken)
        say(f"  start-up {name:12} {out[name] * 1000:8.1f} ms")
    return out


class MasterHaproxy(Haproxy):
    master = True


def reload(folder, origin_port, count, times, say):
    out = {}
    for kind in (Understudy, MasterHaproxy, Nginx):
        base = Haproxy if kind is MasterHaproxy else kind
        extra = pools(base, count, origin_port)
        if base is Nginx:   # the names of so many servers need room
            extra = "server_names_hash_max_size 8192;\n" + extra
        proxy = kind(folder, origin_port, generation=1, EXTRA=extra)
        if base is Nginx:
            proxy.words["EXTRA"] = extra.replace("@HTTP@", str(proxy.http))
            proxy.write(1)
        try:
            proxy.start(30)
            time.sleep(1)
            taken = []
            for generation in range(2, 2 + times):
                proxy.write(generation)
                begun = time.monotonic()
                proxy.reload()
                while proxy.ask() != str(generation):
                    if time.monotonic() - begun > 30:
                        raise RuntimeError(f"{proxy.name} did not take its new configuration within 30 s")
                taken.append(time.monotonic() - begun)
                time.sleep(0.5)
            out[proxy.name] = statistics.median(taken)
        finally:
            proxy.stop()
        say(f"  reload with {count} pools {proxy.name:12} {out[proxy.name] * 1000:8.1f} ms")
    return out
