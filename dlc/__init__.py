"""dlc: a declarative deep-learning compiler. One YAML file in, one XLA program out."""
__version__ = "0.1.0"
