"""Metric and tag names: the one place that spells them.

The trainer writes these names, the config checks objectives against them and MLflow stores them, so they stand at the
ground floor and import nothing. A name with a slash is one of a family: `recall/<class>`, `neurons/<group>`.
"""

from typing import Final

# Scores on the validation part, shares in [0, 1]; higher is better.
ACCURACY: Final = "accuracy"
BALANCED_ACCURACY: Final = "balanced_accuracy"
WORST_CLASS_RECALL: Final = "worst_class_recall"
MANY_RECALL: Final = "many_recall"  # classes with more than 100 training images
MEDIUM_RECALL: Final = "medium_recall"  # 20 to 100
FEW_RECALL: Final = "few_recall"  # fewer than 20
HEAD_RECALL: Final = "head_recall"  # the third of the classes with the most training images
MIDDLE_RECALL: Final = "middle_recall"  # the third between
TAIL_RECALL: Final = "tail_recall"  # the third with the fewest
#: Recalls of groups of classes with, in words, which these are; a group may be empty.
GROUP_RECALLS: Final[dict[str, str]] = {
    MANY_RECALL: "classes with more than 100 training examples",
    MEDIUM_RECALL: "classes with 20 to 100 training examples",
    FEW_RECALL: "classes with fewer than 20 training examples",
    HEAD_RECALL: "the third of the classes with the most training examples",
    MIDDLE_RECALL: "the third of the classes between head and tail",
    TAIL_RECALL: "the third of the classes with the fewest training examples",
}
RECALL_PREFIX: Final = "recall/"

# Expected calibration error on the validation part, a share in [0, 1]; lower is better.
CALIBRATION_ERROR: Final = "calibration_error"

# Scores of quantities on the validation part, in the units of the targets; several targets: means over them.
RMSE: Final = "rmse"  # root of the mean squared error
MAE: Final = "mae"  # mean absolute error
R2: Final = "r2"  # share of the targets' variance that is explained; higher is better
TARGET_SCORES: Final = (RMSE, MAE, R2)  # of single targets, where there are several: `rmse/<target>` and so on

# Losses; lower is better.
TASK_LOSS: Final = "task_loss"  # mean over the epoch's training batches
SIZE_LOSS: Final = "size_loss"  # mean over the epoch's training batches, 0 for a fixed size
TREE_CORRELATION: Final = "tree_correlation"  # what training.decorrelation multiplies, where it is above 0; in [0, 1]
VALIDATION_LOSS: Final = "validation_loss"

# Size of the network at the end of the epoch.
NEURONS: Final = "neurons"
NEURONS_PREFIX: Final = "neurons/"
PARAMETERS: Final = "parameters"
MULTIPLY_ADDS: Final = "multiply_adds"  # of one forward pass of one example
LATENCY_SECONDS: Final = "latency_seconds"  # of one forward pass of one example; with training.measure_latency

# What a change of the network did, in the epochs that had one; over all groups.
NEWCOMERS_KEPT: Final = "newcomers_kept"  # of the neurons that the growth before a pruning added, those that it left
NEWCOMERS_KEPT_SHARE: Final = "newcomers_kept_share"  # the same as a share of what was added
NEURONS_SAVED: Final = "neurons_saved"  # importance alone would have pruned them, protected_share did not
DEAD_NEURONS: Final = "dead_neurons"  # reach the loss in no example scored; with growth kind recycle: dormant ones
NEURONS_MERGED: Final = "neurons_merged"  # pruned ones whose outgoing weights a near-duplicate took over
EXPLAINED_SHARE: Final = "explained_share"  # of the loss's slope by the best newcomers, where growth asks for it

# Whether the final network has exactly the structure that was configured: 1 or 0; at the end alone.
BASE_STRUCTURE: Final = "base_structure"

# Cost.
TRAINING_MULTIPLY_ADDS: Final = "training_multiply_adds"  # spent since the start, three forward passes a step
IMAGES_PER_SECOND: Final = "images_per_second"
EPOCH_SECONDS: Final = "epoch_seconds"

# The same scores on the test part, read once at the end.
TEST_PREFIX: Final = "test/"

# Beside what the trainer reports, MLflow is told per epoch:
STEPS: Final = "steps"  # optimizer updates done; in every record, so that its history says which epochs are logged
NEURONS_ADDED: Final = "neurons_added"  # absent in epochs without a change
NEURONS_REMOVED: Final = "neurons_removed"
# and once, at the end, the metrics of the final network, which a growth policy may have changed after the last epoch.
FINAL_PREFIX: Final = "final/"
# of a network that was exported, that network's own: of one seed, where those above are means over a trial's seeds;
EXPORTED_PREFIX: Final = "exported/"
# and on the study's run, once a search has ended, those of its best trial, and how much of the box its front dominates.
BEST_PREFIX: Final = "best/"
HYPERVOLUME: Final = "hypervolume"

# Tags of MLflow runs; search for them as tags.`neurosearch.study` = 'my-study'. docs/mlflow.md shows how.
TAG_PREFIX: Final = "neurosearch."
STUDY_TAG: Final = "neurosearch.study"  # name of the study
STUDY_KEY_TAG: Final = "neurosearch.study_key"  # tells studies of one name from different places apart
TRIAL_TAG: Final = "neurosearch.trial"  # number of the trial
ROLE_TAG: Final = "neurosearch.role"  # study, search, finalist, control or an arm
GROWTH_TAG: Final = "neurosearch.growth"  # kind of growth
SEED_TAG: Final = "neurosearch.seed"
OBJECTIVE_TAG: Final = "neurosearch.objective"
DATA_HASH_TAG: Final = "neurosearch.data_hash"
VERSIONS_TAG: Final = "neurosearch.versions"  # of Python and the packages that results depend on
UNCOMMITTED_TAG: Final = "neurosearch.uncommitted_changes"  # whether the code differs from its git commit
FEASIBLE_TAG: Final = "neurosearch.feasible"  # whether the final network is within the size limit
REASON_TAG: Final = "neurosearch.reason"  # why the trial failed
BEST_TRIAL_TAG: Final = "neurosearch.best_trial"  # on the study's run
ANSWER_TAG: Final = "neurosearch.answer"  # on the study's run: changing neurons helped, harmed, unclear or too_few
PUBLISHED_TAG: Final = "neurosearch.published"  # on the study's run: digest of what its description and files tell

#: What a study may optimise, with the direction that makes sense.
OBJECTIVES: Final[dict[str, str]] = {
    BALANCED_ACCURACY: "maximize",
    ACCURACY: "maximize",
    WORST_CLASS_RECALL: "maximize",
    MANY_RECALL: "maximize",
    MEDIUM_RECALL: "maximize",
    FEW_RECALL: "maximize",
    HEAD_RECALL: "maximize",
    MIDDLE_RECALL: "maximize",
    TAIL_RECALL: "maximize",
    R2: "maximize",
    RMSE: "minimize",
    MAE: "minimize",
    CALIBRATION_ERROR: "minimize",
    VALIDATION_LOSS: "minimize",
    NEURONS: "minimize",
    PARAMETERS: "minimize",
    MULTIPLY_ADDS: "minimize",
    LATENCY_SECONDS: "minimize",
}

#: The best value that a metric of each direction can have: scores end at 1; sizes, losses and times at 0.
IDEALS: Final = {"maximize": 1.0, "minimize": 0.0}

#: Which of these only a task has, by its kind; the others are there for every task.
TASK_OBJECTIVES: Final[dict[str, tuple[str, ...]]] = {
    "classification": (
        BALANCED_ACCURACY,
        ACCURACY,
        WORST_CLASS_RECALL,
        MANY_RECALL,
        MEDIUM_RECALL,
        FEW_RECALL,
        HEAD_RECALL,
        MIDDLE_RECALL,
        TAIL_RECALL,
        CALIBRATION_ERROR,
    ),
    "regression": TARGET_SCORES,
}

#: What `size_limit` may bound.
SIZES: Final = (PARAMETERS, NEURONS, MULTIPLY_ADDS)
