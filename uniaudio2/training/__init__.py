"""The recipe that made the bundled model `nano`, and the way to train a larger one.

``python -m uniaudio2.training --help`` lists its stages; `recipe` holds every number.
"""
