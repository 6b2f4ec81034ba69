"""Kinds of problem, one package each: they prepare model, data and reward in a folder. They know no method."""
