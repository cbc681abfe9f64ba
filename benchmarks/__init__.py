"""Costs, measured as ratios in one run."""
