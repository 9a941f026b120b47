"""Grammar-aligned sampling: draws from P(text | the text is in the language), which masking alone distorts.

Reading order: `model` (what the samplers know of a model), `language`, `futures` (the trie), `space` (visits),
`attempts` (one walk, four samplers), then a file for each sampler: `gcd`, `rejection`, `asap`, `cars`, `metropolis`,
`particles` with `smc` and `awrs`, `exact`. `transformers_model` wraps real models. docs/sampling.md says which when.
"""

from structgen.decode.aligned.asap import ASAp
from structgen.decode.aligned.awrs import AWRS
from structgen.decode.aligned.cars import CARS
from structgen.decode.aligned.compare import Comparison, Run, compare
from structgen.decode.aligned.diagnostics import Recorded, count_prefixes
from structgen.decode.aligned.exact import Exact
from structgen.decode.aligned.futures import Futures, Key
from structgen.decode.aligned.gcd import GCD
from structgen.decode.aligned.language import Predicate, TextPredicate
from structgen.decode.aligned.metropolis import MetropolisHastings
from structgen.decode.aligned.model import ContextModel, KnownModel, LanguageModel, Shape
from structgen.decode.aligned.prompted import Prompted, prompted
from structgen.decode.aligned.reference import Reference
from structgen.decode.aligned.rejection import Rejection
from structgen.decode.aligned.result import LogZ, Sample, Samples
from structgen.decode.aligned.saved import load_futures, save_futures
from structgen.decode.aligned.smc import SMC

__all__ = [
    "AWRS",
    "CARS",
    "GCD",
    "SMC",
    "ASAp",
    "Comparison",
    "ContextModel",
    "Exact",
    "Futures",
    "Key",
    "KnownModel",
    "LanguageModel",
    "LogZ",
    "MetropolisHastings",
    "Predicate",
    "Prompted",
    "Recorded",
    "Reference",
    "Rejection",
    "Run",
    "Sample",
    "Samples",
    "Shape",
    "TextPredicate",
    "compare",
    "count_prefixes",
    "load_futures",
    "prompted",
    "save_futures",
]
