"""All tables by name, and what a list of them says.

print("\n".join(listed()))
"""

from training.datasets.readers import READERS
from training.experiments import paper1, paper2

__all__ = ["EXPERIMENTS", "listed"]

EXPERIMENTS = {each.name: each for each in (*paper1.EXPERIMENTS, *paper2.EXPERIMENTS)}


def listed() -> list[str]:
    """Each experiment with its title, how many trainings it takes and what data."""
    lines = []
    for each in EXPERIMENTS.values():
        trainings = each.trainings()
        collections = dict.fromkeys(training.collection for training in trainings)
        experts = dict.fromkeys(expert.name for training in trainings for expert in training.config.experts)
        lines.append(f"{each.name}: {each.title}")
        lines.append(
            f"    {len(each.rows)} rows, {len(trainings)} trainings a seed; "
            f"{', '.join(READERS[name].home for name in collections)}; features {', '.join(experts)}"
        )
    return lines
