"""Lint rules: one line for each, one class in its family's file. They run in this order."""

from __future__ import annotations

RULES: dict[str, str] = {
    "unused_layer": "dlc.components.rules.unused:UnusedLayer",
    "repeat_without_previous": "dlc.components.rules.unused:RepeatWithoutPrevious",
    "unused_input": "dlc.components.rules.unused:UnusedInput",
    "late_masking": "dlc.components.rules.masking:LateMasking",
    "section_without_loss": "dlc.components.rules.objectives:SectionWithoutLoss",
    "unused_target": "dlc.components.rules.objectives:UnusedTarget",
    "shared_source": "dlc.components.rules.splits:SharedSource",
    "single_element": "dlc.components.rules.learning:SingleElement",
    "small_batch": "dlc.components.rules.learning:SmallBatch",
    "same_view": "dlc.components.rules.learning:SameView",
    "unfinished_schedule": "dlc.components.rules.learning:UnfinishedSchedule",
    "untrained": "dlc.components.rules.learning:Untrained",
    "unknown_monitor": "dlc.components.rules.monitoring:UnknownMonitor",
    "late_early_stopping": "dlc.components.rules.monitoring:LateEarlyStopping",
    "idle_matmul": "dlc.components.rules.precision:IdleMatmul",
    "idle_loss_scale": "dlc.components.rules.precision:IdleLossScale",
    "idle_optimizer_option": "dlc.components.rules.optimization:IdleOptimizerOption",
    "second_plateau": "dlc.components.rules.optimization:SecondPlateau",
    "late_schedule": "dlc.components.rules.optimization:LateSchedule",
    "idle_shuffle": "dlc.components.rules.optimization:IdleShuffle",
    "idle_accumulate": "dlc.components.rules.optimization:IdleAccumulate",
    "two_averages": "dlc.components.rules.averages:TwoAverages",
    "late_swa": "dlc.components.rules.averages:LateSwa",
}
