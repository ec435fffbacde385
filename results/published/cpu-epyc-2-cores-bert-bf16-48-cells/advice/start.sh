#!/bin/sh
# Serves bert, 1 worker, batch size 16, bf16, batch delay 1 ms, as advised. Run it in the folder that holds model_store/ and log4j2.xml,
# with this project's torchserve first on PATH (. .venv/bin/activate).
export OMP_NUM_THREADS=2
exec torchserve --start --ncs --ts-config "$(dirname "$0")/config.properties"
