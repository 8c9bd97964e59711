"""Options of the tests."""


def pytest_addoption(parser):
    parser.addoption(
        "--regenerate-golden",
        action="store_true",
        help="write tests/golden/ anew from the networks, then read the change with git diff",
    )
