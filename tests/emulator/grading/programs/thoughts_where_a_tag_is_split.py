"""Looks for the end of the thoughts in each piece alone."""

import sys

import httpx
from shared import HEADERS, URL, body, events

answer, reason, is_thinking, began = "", None, False, False
with httpx.stream("POST", URL, json=body(stream=True), headers=HEADERS, timeout=60) as reply:
    if reply.is_error:
        sys.exit(f"{reply.status_code}: {reply.read().decode()}")
    for chunk in events(reply.iter_lines()):
        if "choices" not in chunk:
            sys.exit(f"error in the stream: {chunk}")
        for choice in chunk["choices"]:
            piece = choice["delta"].get("content") or ""
            is_thinking = is_thinking or "<think>" in piece
            if "</think>" in piece:
                piece, is_thinking = piece.rpartition("</think>")[2], False
            answer += "" if is_thinking else piece
            reason = choice["finish_reason"] or reason
if reason != "stop":
    sys.exit(f"the answer is cut: {reason}")
print(answer)
