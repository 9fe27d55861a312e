"""One thread, no network and no time limits inside tests: results do not depend on the machine's load or on a hub."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import hypothesis
import torch

torch.set_num_threads(1)
hypothesis.settings.register_profile("load-independent", deadline=None)
hypothesis.settings.load_profile("load-independent")
