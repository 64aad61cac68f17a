"""What comes into the project and what goes out of it."""
