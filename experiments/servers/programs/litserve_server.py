"""LitServe with our models: POST /<name> with {"text": "..."} -> [{"label", "probability"}, ...]."""

import signal
import tempfile
from typing import Any

import litserve
from archived import asked, load
from litserve.utils import generate_random_zmq_address


class Classifier(litserve.LitAPI):  # type: ignore[misc]
    """One model, in as many processes as it has workers."""

    def __init__(self, model: dict[str, Any]) -> None:
        super().__init__(
            max_batch_size=model["batch_size"],
            batch_timeout=model["batch_delay_ms"] / 1000,
            api_path=f"/{model['name']}",
        )
        self.model = model

    def setup(self, device: object) -> None:
        self.classify = load(self.model["folder"], self.model["batch_size"])

    def decode_request(self, request: dict[str, str]) -> str:
        return request["text"]

    def batch(self, inputs: list[str]) -> list[str]:
        return inputs

    def predict(self, x: Any) -> Any:
        """A text alone where batches hold one, else those of a batch."""
        return self.classify(x) if isinstance(x, list) else self.classify([x])[0]

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> Any:
        return output


def main() -> None:
    # Its sockets would be left in /tmp.
    generate_random_zmq_address.__defaults__ = (tempfile.gettempdir(),)
    # What was started in the background of a shell ignores it, and it is what LitServe ends on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    wanted = asked()
    server = litserve.LitServer(
        [Classifier(model) for model in wanted["models"]],
        accelerator="cpu",
        workers_per_device=[model["workers"] for model in wanted["models"]],
        timeout=60,
        fast_queue=True,
    )
    server.run(host=wanted["host"], port=wanted["port"], generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
