"""The search for ModelD's head; no other package imports Optuna.

The Optuna storage is the one record of a study. Workers add trials to it in waves, whose heads
train as one batch (`search`). MLflow's runs (`trial_logger`), the live table, the figures and the
final results are all read from it.
"""
