"""Lesson 05."""

EXPERIMENTS: dict = {}
