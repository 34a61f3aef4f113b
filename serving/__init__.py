"""A guard ready to be used: settings, wiring, and the HTTP side with who may call, requests, answers and routes."""
