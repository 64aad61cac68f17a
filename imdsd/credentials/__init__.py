"""The heart: when to refresh, how to fail, what to hold; pure of HTTP and of AWS libraries."""
