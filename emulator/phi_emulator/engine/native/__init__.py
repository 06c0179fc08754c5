"""ONNX Runtime GenAI, in the forms in which it comes, behind the protocol of an engine."""
