"""`neurosearch status`: how a study stands."""

from neurosearch.cli.frame import command
from neurosearch.cli.options import (
    NAMESPACE,
    RUNS,
    Cluster,
    Database,
    Folder,
    Namespace,
    OnKubernetes,
    StudyName,
    Watch,
)
from neurosearch.cli.report import Report


@command
def status(
    name: StudyName,
    folder: Folder = RUNS,
    database: Database = None,
    watch: Watch = False,
    address: Cluster = None,
    kubernetes: OnKubernetes = False,
    namespace: Namespace = NAMESPACE,
) -> Report:
    """Show how a study stands: trials by state, the best, what runs, the budget; works while it is searched."""
    if kubernetes:
        from neurosearch.cli.kubernetes import check_asked_there_alone, standing_report

        check_asked_there_alone(address, watch=watch)
        return standing_report(name, namespace)
    if address is not None:
        from neurosearch.cli.far_status import far_status

        return far_status(name, address, folder, database, watch=watch)
    from neurosearch.cli.studies import next_commands, open_study, study_facts, study_lines

    study = open_study(name, folder, database)
    if watch:
        from neurosearch.cli.watch import watch as watch_study

        watch_study(study)
    return Report(study_facts(study), tuple(study_lines(study)), next=next_commands(study))
