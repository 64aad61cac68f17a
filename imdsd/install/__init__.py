"""Making a machine a home for the daemon, and taking all of it away again."""
