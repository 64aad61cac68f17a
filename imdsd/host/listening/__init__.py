"""Listening sockets: opened here, or handed over by a service manager."""
