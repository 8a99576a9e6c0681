"""Optimal transport between padded batches of speech and text embeddings; needs torch alone."""

from espnet_otreg.ot.align import Alignment, align
from espnet_otreg.ot.align_options import AlignmentConf
from espnet_otreg.ot.compress import Compressed, compress
from espnet_otreg.ot.cost import cosine_cost, cost_matrix, sqeuclidean_cost
from espnet_otreg.ot.diagnostics import (
    plan_entropy,
    relative_entropy,
    silence_mass,
    speech_marginal,
    text_marginal,
)
from espnet_otreg.ot.gromov import GromovOptions, GromovPlan, fused_gromov
from espnet_otreg.ot.loss import OTRegLoss, OTRegOutput, plan_sparsity
from espnet_otreg.ot.options import SolverOptions
from espnet_otreg.ot.sinkhorn import TransportPlan, sinkhorn
from espnet_otreg.ot.targets import Targets, unique_targets
from espnet_otreg.ot.whiten import Whitening, whitening

__all__ = [
    "Alignment",
    "AlignmentConf",
    "Compressed",
    "GromovOptions",
    "GromovPlan",
    "OTRegLoss",
    "OTRegOutput",
    "SolverOptions",
    "Targets",
    "TransportPlan",
    "Whitening",
    "align",
    "compress",
    "cosine_cost",
    "cost_matrix",
    "fused_gromov",
    "plan_entropy",
    "plan_sparsity",
    "relative_entropy",
    "silence_mass",
    "sinkhorn",
    "speech_marginal",
    "sqeuclidean_cost",
    "text_marginal",
    "unique_targets",
    "whitening",
]
