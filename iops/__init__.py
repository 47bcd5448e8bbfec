"""The vocabulary of the IOPS Dashboard: what things are, and nothing about who runs them."""
