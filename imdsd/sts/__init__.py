"""The exchange of a web identity token for credentials: the only package that knows botocore."""

from imdsd.sts.exchange import TOTAL_SECONDS, StsExchange, StsSession
from imdsd.sts.library import regional_endpoint, shared_session

__all__ = ["TOTAL_SECONDS", "StsExchange", "StsSession", "regional_endpoint", "shared_session"]
