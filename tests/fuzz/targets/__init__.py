"""What is fuzzed, a module for each: how a case is checked, and what cases are made of."""
