import json
import os
import os.path as osp

import matplotlib.pyplot as plt
import numpy as np

# LOAD FINAL RESULTS
folders = sorted(os.listdir("./"))
final_results = {}
for folder in folders:
    if folder.startswith("run") and osp.isdir(folder):
        with open(osp.join(folder, "final_info.json"), "r") as f:
            final_results[folder] = json.load(f)

# CREATE LEGEND -- ADD RUNS HERE THAT WILL BE PLOTTED
labels = {
    "run_0": "Baselines",
}

plt.figure(figsize=(8, 6))
for run in labels:
    solution = np.array(final_results[run]["SEIR"]["solution"])
    plt.plot(solution[:, 2], label=labels[run])
plt.xlabel("Day")
plt.ylabel("Share of people infectious")
plt.legend()
plt.grid(True, alpha=0.3)
plt.tight_layout()
plt.savefig("infectious.png")
plt.close()
