"""Kinds of problem, one package each: model, data and reward become a prepared folder. They know no method."""
