"""The model server: one model, one revision, Open Inference Protocol v2 over HTTP."""
