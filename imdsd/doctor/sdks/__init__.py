"""What the SDKs of this shell would take, link by link."""
