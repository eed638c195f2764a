"""HTTP in the words of the OpenAI API: `okedit serve`, which answers by a model held here, and what a gateway
shares with it.

Nothing here is imported before it is asked for: FastAPI and uvicorn come with okedit[serve].
"""
