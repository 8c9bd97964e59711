"""Pictures a second of the batches alone, without a network."""

import time

from benchmarks import common


def passing(batches):
    """A function that gives pictures a second of one pass."""

    def run() -> float:
        start = time.perf_counter()
        for _images, _labels in batches:
            pass
        return batches.num_images / (time.perf_counter() - start)

    return run


def main(arguments=None) -> list[dict]:
    """Print a row a setting."""
    chosen = common.options(__doc__).parse_args(arguments)
    dataset, variants = common.pictures(chosen.quick), {}
    for augment in (False, True):
        for size in (128, 512):
            batches = dataset.batches("train", size, augment=augment)
            variants[augment, size] = passing(batches)
    speed = common.in_turn(variants, 1 if chosen.quick else 5)
    names = ("augment", "batch size")
    rows = [dict(zip(names, key)) | {"images/s": round(value)} for key, value in speed.items()]
    return common.report("pipeline", rows, chosen)


if __name__ == "__main__":
    main()
