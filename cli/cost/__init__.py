"""What the system costs: planned for a fleet, and what language models have cost."""
