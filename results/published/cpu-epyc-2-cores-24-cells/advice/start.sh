#!/bin/sh
# Serves bert, 2 workers, batch size 32, bf16, as advised. Run it in the folder that holds model_store/ and log4j2.xml.
set -e
export OMP_NUM_THREADS=1
exec torchserve --start --ncs --ts-config "$(dirname "$0")/config.properties"
