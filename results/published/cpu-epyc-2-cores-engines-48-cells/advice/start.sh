#!/bin/sh
# Serves embeddings, 2 workers, batch size 4, openvino, batch delay 30 ms, as advised. Run it in the folder that holds model_store/ and log4j2.xml,
# with this project's torchserve first on PATH (. .venv/bin/activate).
export OMP_NUM_THREADS=1
exec torchserve --start --ncs --ts-config "$(dirname "$0")/config.properties"
