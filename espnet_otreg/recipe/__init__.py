"""What runs a recipe: options, steps and their keys, locks, launching."""
