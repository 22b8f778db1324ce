"""CPU time per request, side by side and interleaved: A B C, A B C, ..."""
import statistics
from dataclasses import dataclass


@dataclass
class Sample:
    cpu_us: float     # of all processes of the proxy, per request
    rate: float       # requests per second
    foreign: float    # CPU time of neither proxy nor load, as a share of one core
    busy: float       # share of its core that the proxy used
    resumed: float    # share of handshakes that were resumed


def foreign(result):
    """CPU time of neither proxy nor load during a run, as a share of one core."""
    return max(0, result["machine_ns"] - result["cpu_ns"] - result["load_ns"]) / 1e9 / result["seconds"]


def measure(load, proxy, words):
    result = load.run(**words, watch=",".join(str(pid) for pid in proxy.pids()))
    if result["errors"] or result["requests"] < 1:
        raise RuntimeError(f"{proxy.name}: {result['errors']} errors ({result['first_error']}), {result['requests']:.0f} answers in {words}")
    seconds = result["seconds"]
    return Sample(result["cpu_ns"] / 1000 / result["requests"], result["requests"] / seconds, foreign(result),
                  result["cpu_ns"] / 1e9 / seconds, result["resumed"] / max(1, result["handshakes"]))


def verify(load, proxies, scenario):
    for proxy in proxies:
        result = load.run(**scenario.checked(proxy))
        if result["errors"] or result["requests"] < 1:
            raise RuntimeError(f"{proxy.name} fails the check of '{scenario.title}': {result['errors']} errors, the first: {result['first_error']}")


def compare(load, proxies, scenario, rounds, seconds, warm, say):
    """{name: [Sample, ...]}, one sample a round. Bodies are checked before anything is timed."""
    verify(load, proxies, scenario)
    samples = {proxy.name: [] for proxy in proxies}
    for _ in range(rounds):
        for proxy in proxies:
            sample = measure(load, proxy, scenario.job(proxy, seconds=seconds, warm=warm))
            if scenario.name == "tlsresumed" and sample.resumed < 0.9:
                raise RuntimeError(f"{proxy.name} resumed only {sample.resumed:.0%} of its handshakes")
            if scenario.name == "tlsfull" and sample.resumed > 0:
                raise RuntimeError(f"{proxy.name} resumed handshakes that should have been full")
            samples[proxy.name].append(sample)
    say(f"  {scenario.title:28} " + "   ".join(f"{name} {middle(list_, 'cpu_us'):7.1f} us" for name, list_ in samples.items()))
    return samples


def middle(samples, what):
    return statistics.median(getattr(s, what) for s in samples)


def ratio(samples, one, other):
    """Median of the ratios inside each round: what disturbs a round disturbs both."""
    return statistics.median(a.cpu_us / b.cpu_us for a, b in zip(samples[one], samples[other]))
