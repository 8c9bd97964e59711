"""The comparisons of the lessons: every variant of a network with the same seeds.

A lesson has a file here. Its EXPERIMENTS say what is compared: for each variant a function of
(dataset, seed, quick) that trains once and returns what it measured, by name. All else of the
variants is the same. Precision is part of the function, since "auto" differs by machine; `quick`
asks for seconds on generated pictures, for the tests.
"""
