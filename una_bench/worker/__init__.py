"""The inside of one worker process: it trains or evaluates one cell. It knows no method and no benchmark by name."""
