"""The exchange in a process of its own: what STS's SDK holds and what may hang goes with it."""

from imdsd.daemon.exchanging.process import ExchangeProcess, ProcessExchange

__all__ = ["ExchangeProcess", "ProcessExchange"]
