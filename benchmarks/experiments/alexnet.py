"""Lesson 02."""

EXPERIMENTS: dict = {}
