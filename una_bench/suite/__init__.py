"""Recipes and plans: a recipe becomes a plan of cells with its expected cost. No torch, nothing about processes."""
