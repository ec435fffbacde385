"""LitServe with our models: POST /<name> with {"text": "..."} -> [{"label", "probability"}, ...].

An image is {"image": base64}; {"texts": [...]} and {"images": [...]} are answered with a list of such lists.
Embeddings are answered with a vector's numbers in place of labels.
"""

import signal
import tempfile
from collections.abc import Sequence
from typing import Any

import litserve
from archived import asked, load, plain
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

    def decode_request(self, request: dict[str, Any]) -> dict[str, Any]:
        return request

    def batch(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return inputs

    def predict(self, x: Any) -> Any:
        """A request alone where batches hold one, else those of a batch."""
        return self.answers(x) if isinstance(x, list) else self.answers([x])[0]

    def answers(self, requests: Sequence[dict[str, Any]]) -> list[Any]:
        """One call of the model for all that the requests hold -> an answer to each."""
        held = [inputs_of(request) for request in requests]
        predictions = map(plain, self.classify([one for inputs, _ in held for one in inputs]))
        return [
            [next(predictions) for _ in inputs] if several else next(predictions) for inputs, several in held
        ]

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> Any:
        return output


def inputs_of(request: dict[str, Any]) -> tuple[list[str], bool]:
    """What a request asks about, and whether it asks for a list."""
    ((key, value),) = request.items()
    return (list(value), True) if key.endswith("s") else ([value], False)


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
