"""What an installation writes into other people's files: pure functions, bytes in, bytes out."""
