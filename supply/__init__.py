"""What comes into the project and what goes out of it: locks, builds, their contents, audits."""
