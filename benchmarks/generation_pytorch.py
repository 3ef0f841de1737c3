"""The character-level GPT of `specs/zoo/char_gpt.yaml` in eager PyTorch: it generates text with a cache, or without.

`PYTHON benchmarks/generation_pytorch.py cache|window LENGTH` is started by `benchmarks.generation`. It waits for lines
on standard input, and prints the seconds and CPU seconds of a text of LENGTH tokens after each. Without a cache it
computes the whole window for each token, as nanoGPT's `sample.py` does.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

VOCABULARY, WINDOW, WIDTH, HEADS, LAYERS = 65, 64, 128, 4, 4


def gpt(torch: Any) -> Any:
    """The network: 804,096 weights, no biases, one table for input and output."""
    functional = torch.nn.functional

    class Block(torch.nn.Module):  # type: ignore[misc]
        """Causal attention and a dense part, each normalized and added."""

        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.LayerNorm(WIDTH, bias=False)
            self.attention = torch.nn.Linear(WIDTH, 3 * WIDTH, bias=False)
            self.project = torch.nn.Linear(WIDTH, WIDTH, bias=False)
            self.second = torch.nn.LayerNorm(WIDTH, bias=False)
            self.up = torch.nn.Linear(WIDTH, 4 * WIDTH, bias=False)
            self.down = torch.nn.Linear(4 * WIDTH, WIDTH, bias=False)

        def forward(self, x: Any, cache: Any, start: int) -> Any:
            """The result for positions from `start` on; the cache holds the keys and values of those before."""
            batch, time, _ = x.shape
            parts = self.attention(self.first(x)).split(WIDTH, dim=2)
            q, k, v = (part.view(batch, time, HEADS, WIDTH // HEADS).transpose(1, 2) for part in parts)
            if cache is not None:
                cache[0][:, :, start : start + time], cache[1][:, :, start : start + time] = k, v
                k, v = cache[0][:, :, : start + time], cache[1][:, :, : start + time]
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=time > 1)
            x = x + self.project(y.transpose(1, 2).reshape(batch, time, WIDTH))
            return x + self.down(functional.gelu(self.up(self.second(x))))

    class Gpt(torch.nn.Module):  # type: ignore[misc]
        """The blocks between the table of tokens and its transpose."""

        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(VOCABULARY, WIDTH)
            self.places = torch.nn.Embedding(WINDOW, WIDTH)
            self.blocks = torch.nn.ModuleList(Block() for _ in range(LAYERS))
            self.last = torch.nn.LayerNorm(WIDTH, bias=False)

        def forward(self, tokens: Any, caches: Any = None, start: int = 0) -> Any:
            """The scores of the token after the last position."""
            x = self.table(tokens) + self.places(torch.arange(start, start + tokens.shape[1]))
            for index, block in enumerate(self.blocks):
                x = block(x, None if caches is None else caches[index], start)
            return self.last(x[:, -1]) @ self.table.weight.T

    return Gpt().eval()


def generate(torch: Any, network: Any, length: int, cached: bool) -> Any:
    """A text of so many tokens; with a cache the last half of a full window is read again."""
    tokens = torch.zeros((1, 1), dtype=torch.long)
    size = (1, HEADS, WINDOW, WIDTH // HEADS)
    caches = [(torch.empty(size), torch.empty(size)) for _ in range(LAYERS)]
    start, new = 0, tokens
    for _ in range(length):
        if not cached:
            scores = network(tokens[:, -WINDOW:])
        else:
            if start == WINDOW:
                start, new = 0, tokens[:, -WINDOW // 2 :]
            scores = network(new, caches, start)
            start += new.shape[1]
        new = torch.multinomial(torch.softmax(scores, dim=-1), 1)
        tokens = torch.cat([tokens, new], dim=1)
    return tokens


def main() -> None:
    """Generate whenever a line comes."""
    parser = argparse.ArgumentParser(prog="generation_pytorch.py", description=__doc__)
    parser.add_argument("how", choices=["cache", "window"])
    parser.add_argument("length", type=int)
    options = parser.parse_args()
    import torch

    network = gpt(torch)
    counted = sum(weight.numel() for weight in network.parameters())
    assert counted == 804_096, counted
    with torch.inference_mode():
        generate(torch, network, 100, options.how == "cache")
        print("ready", flush=True)
        for _ in sys.stdin:
            start = time.perf_counter(), time.process_time()
            generate(torch, network, options.length, options.how == "cache")
            print(time.perf_counter() - start[0], time.process_time() - start[1], flush=True)


if __name__ == "__main__":
    main()
