"""Lesson 04."""

EXPERIMENTS: dict = {}
