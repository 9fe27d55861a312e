"""The collection stage: questions times temperatures times iterations, answered by a model, one JSON line each."""
