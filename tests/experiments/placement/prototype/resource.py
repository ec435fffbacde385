"""The prototype's resource folder for its 2080 Ti, from the figures in benchmarks/data."""

import json
from pathlib import Path

from benchmarks.parts import sharing

SCHED_CONFIG: dict[str, object] = {
    "GPUs": [{"Type": "2080ti", "Num": 4}],
    "Max Model": 3,
    "Part": 1,
    "SLO Ratio": 1.0,
    "Latency Ratio": 1.1,
    "Interference": 1,
    "Avail_Parts": [20, 40, 50, 60, 80, 100],
    "Incremental": 1,
}


def resource(folder: Path) -> Path:
    """Writes it, and returns its device-config.json."""
    (folder / "2080ti").mkdir(parents=True)
    latencies = "".join(
        f"{model},{size},{batch},{curve[batch]}\n"
        for model in sharing.rtx2080ti().models()
        for size in sharing.rtx2080ti().sizes(model)
        for curve in [sharing.rtx2080ti().curve(model, size)]
        for batch in range(1, len(curve))
    )
    (folder / "2080ti" / "latency.csv").write_text(latencies, "utf-8")
    constants = next(
        row for row in sharing.rows("glet_interference_constants.csv") if row["device"] == "2080ti"
    )
    names = "l2_self", "l2_other", "dram_self", "dram_other", "constant"
    (folder / "2080ti" / "INT_MODEL_CONSTANT.CSV").write_text(
        "l2_util_m1,l2_util_m2,dram_util_m1,dram_util_m2,constant\n"
        + ",".join(constants[name] for name in names)
        + "\n",
        "utf-8",
    )
    lines = [
        f"{row['model']},{row['batch']},0.01,9.9,{row['l2_util_pct']},{row['mem_util_pct']},9.9,9.9,\n"
        for row in sharing.rows("glet_utilisation.csv")
        if row["device"] == "2080ti"
    ]
    heading = "bench,batch,avg_duration(ms),SM_util(%),l2_util(%),mem_util(%),achieved,theoretical\n"
    (folder / "2080ti" / "UTIL.CSV").write_text(heading + "".join(lines), "utf-8")
    memory = [
        {"name": row["model"], "mem": int(float(row["mem_mb"]))} for row in sharing.rows("glet_models.csv")
    ]
    (folder / "mem-config.json").write_text(json.dumps({"models": memory}), "utf-8")
    device = {
        "type": "2080ti",
        "mem_mb": 11000,
        "latency_prof_file": "2080ti/latency.csv",
        "interference_const_file": "2080ti/INT_MODEL_CONSTANT.CSV",
        "interference_util_file": "2080ti/UTIL.CSV",
    }
    path = folder / "device-config.json"
    path.write_text(json.dumps({"device_specs": [device]}), "utf-8")
    (folder / "sched-config.json").write_text(json.dumps(SCHED_CONFIG), "utf-8")
    return path
