"""The machine around the daemon: its files, its sockets' owners, its users' variables."""
