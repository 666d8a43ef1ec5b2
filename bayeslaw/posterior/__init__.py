"""Draws: how they are made, what they predict, their likelihood, answers as `Quantity`, and their file."""
