"""Evaluation: data sets of many authors as cases, runs over them, figures with intervals, reports."""
