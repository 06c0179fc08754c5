"""The same code on the emulator and on Azure: only the environment differs.

    PHI_ENDPOINT=emulator python examples/switch_to_azure.py
    PHI_ENDPOINT=https://NAME.REGION.models.ai.azure.com PHI_API_KEY=… python examples/switch_to_azure.py
    PHI_ENDPOINT=https://NAME.REGION.inference.ml.azure.com/score python examples/switch_to_azure.py

The last line has no key: then a token of Entra ID is used, found by azure-identity (`az login`, a managed identity,
environment variables).
"""

from phi_client import APIStatusError, PhiClient

with PhiClient() as client:
    print(client)
    try:
        info = client.get_model_info()
        print(f"{info.model_name} by {info.model_provider_name}")
    except APIStatusError as error:  # the newer image of managed compute has no info route
        print(f"no model info: {error}")
    done = client.complete("Ben has 250 coins and gives away 73. How many coins are left?", seed=1)
    print(f"answer: {done.answer}")
    if done.usage is not None:
        print(f"tokens: {done.usage.prompt_tokens} + {done.usage.completion_tokens}")
