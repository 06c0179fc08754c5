"""A reasoned answer to a math problem.

Run it against the emulator:    phi-emulator exec -- python examples/quickstart.py
Run it against a deployment:    PHI_ENDPOINT=https://… PHI_API_KEY=… python examples/quickstart.py
"""

from phi_client import PhiClient

with PhiClient() as client:  # PHI_ENDPOINT, and PHI_API_KEY or Entra ID
    done = client.complete("What is 17 * 24?", seed=1)

print("reasoning:", done.reasoning)
print("content:  ", done.content)
print("answer:   ", done.answer)
print("model:    ", done.model)
