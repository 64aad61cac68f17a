"""The exchange of a web identity token for credentials: the only package that knows botocore."""

from imdsd.sts.exchange import StsExchange

__all__ = ["StsExchange"]
