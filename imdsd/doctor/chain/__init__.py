"""The way from the configuration to credentials, walked once."""
