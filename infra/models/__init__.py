"""Language models: what an agent asks, what answers it (an OpenAI-compatible endpoint, or rules), and how an answer is made once."""
