"""What is learned: model, data and reward, prepared once per suite; the file name is the kind of problem."""
