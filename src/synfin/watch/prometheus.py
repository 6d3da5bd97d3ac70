"""What `synfin watch` sees, as metrics that a Prometheus server fetches over HTTP.

Owns the names of the metrics and the small server. Serves whatever was observed last; observes nothing itself.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Self

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from synfin.watch.observed import Observed
from synfin.watch.sample import COUNTS, ListenerSample

LISTENER: Final = ("source", "address", "port")
GAUGES: Final = (
    ("half_open", "synfin_half_open_connections", "Half-open connections of a listener (SYN_RECV)"),
    ("half_open_limit", "synfin_half_open_limit", "Half-open connections that a listener keeps at most"),
    ("accept_queue", "synfin_accept_queue_connections", "Connections that wait to be accepted"),
    ("accept_limit", "synfin_accept_queue_limit", "Connections beyond which the accept queue is full"),
)  # fmt: skip


class Metrics(Collector):
    """Serves `observed` at `host` and `port` while the `with` block runs; port 0 takes any. Raises OSError."""

    def __init__(self, host: str, port: int) -> None:
        self.observed: Sequence[Observed] = ()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        self._server, self._thread = start_http_server(port, addr=host, registry=registry)
        self.port: int = self._server.server_port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def collect(self) -> Iterator[Metric]:
        """Called for every request."""
        observed = self.observed
        verdict = GaugeMetricFamily("synfin_syn_flood_verdict", "0 none, 1 suspected, 2 flood", labels=["source"])
        score = GaugeMetricFamily("synfin_syn_flood_score", "How much speaks for a SYN flood, 0 to 1", labels=["source"])
        least = GaugeMetricFamily(
            "synfin_syns_per_second_at_least", "Lower bound of the SYN rate over the last interval", labels=["source"]
        )
        states = GaugeMetricFamily("synfin_sockets", "Sockets in each state of RFC 9293", labels=["source", "state"])
        for each in observed:
            verdict.add_metric([each.label], int(each.level))
            score.add_metric([each.label], each.score)
            least.add_metric([each.label], each.change.syns_at_least)
            for state, count in each.change.sample.states.items():
                states.add_metric([each.label, state], count)
        yield from (verdict, score, least, states)
        yield from _of_listeners(observed)
        yield from _of_sources(observed)


def _labels(each: Observed, listener: ListenerSample) -> list[str]:
    return [each.label, str(ipaddress.ip_address(listener.address)), str(listener.port)]


def _of_listeners(observed: Iterable[Observed]) -> Iterator[Metric]:
    found = [(_labels(each, listener), listener) for each in observed for listener in each.change.sample.listeners]
    for attribute, name, about in GAUGES:
        gauge = GaugeMetricFamily(name, about, labels=LISTENER)
        for labels, listener in found:
            value = getattr(listener, attribute)
            if value is not None:
                gauge.add_metric(labels, value)
        yield gauge
    drops = CounterMetricFamily("synfin_listener_drops", "What a listening socket of the kernel dropped", labels=LISTENER)
    for labels, listener in found:
        if listener.drops is not None:
            drops.add_metric(labels, listener.drops)
    yield drops
    for name in COUNTS:
        counter = CounterMetricFamily(f"synfin_listener_{name}", f"{name} of a listener of synfin's", labels=LISTENER)
        for labels, listener in found:
            value = getattr(listener.counts, name)
            if value is not None:
                counter.add_metric(labels, value)
        yield counter


def _of_sources(observed: Iterable[Observed]) -> Iterator[Metric]:
    for name in COUNTS:
        counter = CounterMetricFamily(f"synfin_{name}", f"{name} of all listeners of a source together", labels=["source"])
        for each in observed:
            value = getattr(each.change.sample.totals, name)
            if value is not None:
                counter.add_metric([each.label], value)
        yield counter
