"""A cluster of several nodes on this machine, told over standard input which node to lose.

Run as a process of its own, so that its nodes are its children and inherit its environment.
Prints the address, then one line for every line read: ``lose N`` kills a worker node without
warning and adds a fresh one.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

WORKER_NODES = 2
CPUS_OF_A_NODE = 2
_MEMORY_BYTES = 200 * 1024 * 1024


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def serve() -> None:
    """Start the nodes and obey until standard input ends."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "object_store_memory": _MEMORY_BYTES,
            "include_dashboard": False,
        },
    )
    nodes = [_add(cluster) for _ in range(WORKER_NODES)]
    _say(cluster.address)
    for line in sys.stdin:
        which = int(line.split()[1]) % len(nodes)
        cluster.remove_node(nodes.pop(which), allow_graceful=False)
        _say("lost")
        nodes.append(_add(cluster))
        _say("added")


def _add(cluster: Cluster) -> object:
    return cluster.add_node(num_cpus=CPUS_OF_A_NODE, object_store_memory=_MEMORY_BYTES)


if __name__ == "__main__":
    serve()
