"""One question by azure-ai-inference, a whole answer."""

import os
import sys

from azure.ai.inference import ChatCompletionsClient
from azure.ai.inference.models import UserMessage
from azure.core.credentials import AzureKeyCredential

client = ChatCompletionsClient(
    os.environ["AZURE_INFERENCE_ENDPOINT"], AzureKeyCredential(os.environ["AZURE_INFERENCE_CREDENTIAL"])
)
print(client.complete(messages=[UserMessage(sys.argv[1])]).choices[0].message.content)
