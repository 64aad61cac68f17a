"""The exchange of a web identity token for credentials: the only package that knows botocore."""

from imdsd.sts.exchange import StsExchange
from imdsd.sts.library import regional_endpoint

__all__ = ["StsExchange", "regional_endpoint"]
