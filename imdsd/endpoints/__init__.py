"""What clients see: container credentials, the instance metadata service, and operations."""
