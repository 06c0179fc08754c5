"""One question by azure-ai-inference, streamed."""

import os
import sys

from azure.ai.inference import ChatCompletionsClient
from azure.ai.inference.models import UserMessage
from azure.core.credentials import AzureKeyCredential

client = ChatCompletionsClient(
    os.environ["AZURE_INFERENCE_ENDPOINT"], AzureKeyCredential(os.environ["AZURE_INFERENCE_CREDENTIAL"])
)
for update in client.complete(messages=[UserMessage(sys.argv[1])], stream=True):
    for choice in update.choices:
        print(choice.delta.content or "", end="")
