"""Evidently on the same samples, run as a file by the interpreter of its own environment; prints JSON."""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

warnings.filterwarnings("ignore")


def main(folder):
    from evidently import DataDefinition, Dataset, Report  # noqa: PLC0415
    from evidently.presets import DataDriftPreset  # noqa: PLC0415

    labels = [f"v{level}" for level in range(20)]
    frames = []
    for name in ("reference", "current"):
        numbers, codes = np.load(f"{folder}/{name}-numbers.npy"), np.load(f"{folder}/{name}-codes.npy")
        frame = pd.DataFrame(numbers.T, columns=[f"n{index}" for index in range(len(numbers))], copy=False)
        for index, row in enumerate(codes):
            frame[f"c{index}"] = pd.Categorical.from_codes(row.astype(np.int32), labels)
        frames.append(frame)
    columns = list(frames[0].columns)
    definition = DataDefinition(numerical_columns=columns[:50], categorical_columns=columns[50:])
    wall, cpu = time.perf_counter(), time.process_time()
    reference, current = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
    result = Report([DataDriftPreset(num_method="psi", cat_method="psi")]).run(current, reference).dict()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    # getrusage would count the parent's memory from before the exec too.
    rss = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    drifted = result["metrics"][0]["value"]["count"]
    print(json.dumps({"drifted": int(drifted), "wall": wall, "cpu": cpu, "rss_mb": rss}))


if __name__ == "__main__":
    main(sys.argv[1])
