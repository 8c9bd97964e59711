"""Lesson 01."""

EXPERIMENTS: dict = {}
