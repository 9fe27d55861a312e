"""responses.jsonl -> scores.jsonl: what each answer does. The only place that reads an answer's text."""
