"""``python -m hotfire.lab.handles.door HOME MACHINE REQUEST``: one question to a machine's agent.

The lab's target file names it for those machines that are no nodes of the cluster, so that faults
reach them as they would reach any control plane's: by a command that prints the agent's reply.
"""

import json
import sys
from pathlib import Path

from hotfire.errors import HarnessError
from hotfire.lab.handles import agents
from hotfire.lab.lab import Lab
from hotfire.own_folders import project_root


def main(home: str, machine: str, request: str) -> None:
    """Print the reply; a machine that is off is told as a refusal."""
    lab = Lab(project_root(), home=Path(home))
    asked = json.loads(request)
    # Orders with a token would lock out `hotfire lab break`, which is nobody's run.
    asked.pop("token", None)
    try:
        reply: object = agents.reply(lab.rack, machine, asked)
    except HarnessError as error:
        reply = {"ok": False, "error": str(error)}
    sys.stdout.write(json.dumps(reply))


if __name__ == "__main__":
    main(*sys.argv[1:])
