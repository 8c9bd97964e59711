"""Lesson 03."""

EXPERIMENTS: dict = {}
