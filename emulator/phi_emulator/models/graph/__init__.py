"""Rewrites the graphs of models into the form that the engine runs fastest. Knows ONNX."""
