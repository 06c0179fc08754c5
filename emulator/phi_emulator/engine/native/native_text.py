"""A model's texts and tokens by GenAI's tokenizer, as both native engines use it.

Takes the native tokenizer as it is given; must not import the native engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phi_emulator.engine.native.decoding import ByteDecoder, NativeDecoder, TokenBytes, TokenDecoder
from phi_emulator.engine.native.prompt import PromptEncoder
from phi_emulator.engine.native.tokenizer_file import read_tokenizer_file
from phi_emulator.engine.native.turn_ends import turn_ends
from phi_emulator.models.genai_config import Settings

__all__ = ["NativeText"]


class NativeText:
    """Prompts and answers of the model in `folder`, of which `context` tokens are served.

    `settings` is the content of its `genai_config.json`.

    Raises:
        ModelLoadError: it has no token that ends an answer.
    """

    def __init__(self, tokenizer: Any, folder: Path, settings: Settings, *, context: int) -> None:
        file = read_tokenizer_file(folder)
        self._tokenizer = tokenizer
        self._tokens = TokenBytes(file, self._decode_alone) if file.is_byte_level else None
        self.encoder = PromptEncoder(
            lambda messages: str(tokenizer.apply_chat_template(messages, add_generation_prompt=True)),
            lambda text: [int(token) for token in tokenizer.encode(text)],
            file.control_tokens,
            most_tokens=context,
            most_bytes=file.most_bytes,
        )
        self.encoder.try_template()  # one that can't be used is better known now
        self.ends = turn_ends(
            folder,
            settings,
            file,
            lambda messages: str(tokenizer.apply_chat_template(messages, add_generation_prompt=False)),
        )

    def decoder(self) -> TokenDecoder:
        """For one answer."""
        if self._tokens is not None:
            return ByteDecoder(self._tokens)
        return NativeDecoder(self._tokenizer.create_stream().decode)

    def pieces(self, text: str) -> Sequence[tuple[int, str]]:
        """The tokens that say `text`, each with what it completes: as the model would have written it.

        Raises:
            ValueError: no tokens say it.
        """
        # Marks that the decoder shows are one token; those that it doesn't are written out.
        for ids in ([int(token) for token in self._tokenizer.encode(text)], self.encoder.encode_answer(text)):
            decoder = self.decoder()
            pieces = [(token, decoder.feed(token)) for token in ids]
            rest = decoder.flush()
            if rest and pieces:
                pieces[-1] = (pieces[-1][0], pieces[-1][1] + rest)
            if "".join(piece for _, piece in pieces) == text:
                return pieces
        raise ValueError(f"no tokens of this model say a text of {len(text)} characters as it is")

    def _decode_alone(self, token: int) -> str:
        return str(self._tokenizer.create_stream().decode(token))
