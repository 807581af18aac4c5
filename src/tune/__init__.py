"""The search for ModelD's head: the only room that imports Optuna.

The Optuna storage is the one record of a study. Workers add trials to it in waves that train as
one batched problem (`search`); MLflow's runs (`mirror`), the live table, the pictures and the
final figures are all read from it.
"""
