"""HTTP with the OpenAI API's words: `okedit serve` answers by a model held here; what a gateway shares with it.

Nothing here is imported before it is asked for: FastAPI and uvicorn come with okedit[serve].
"""
