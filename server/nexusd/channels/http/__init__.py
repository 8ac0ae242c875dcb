"""The HTTP door: routes, problem documents, the OpenAPI description."""
