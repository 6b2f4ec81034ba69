"""Recipes and plans: validation of recipes, the cells of a plan, their expected cost. No torch, no processes."""
