"""From nothing to the first fitted net, against the libraries and one step of SGD.

Each side is a new process. CPU seconds stand beside wall time: a busy machine moves them less.
"""

from _harness import compare, in_new_process, parse, write

OURS = """
from skpoison import MLP, NetClassifier
from sklearn.datasets import load_digits

X, y = load_digits(return_X_y=True)
net = NetClassifier(MLP, module__width=64, lr=0.5, batch_size=32, random_state=0).fit(X / 16, y)
assert net.optimizer_.param_groups[0]["lr"] == 0.5
"""
LIBRARIES = """
import torch, skorch, sklearn
from sklearn.datasets import load_digits

X, y = load_digits(return_X_y=True)
module = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
logits = module(torch.tensor(X[:32] / 16, dtype=torch.float32))
torch.nn.functional.cross_entropy(logits, torch.tensor(y[:32])).backward()
optimizer.step()
"""

args = parse(__doc__)
wall, cpu = in_new_process({"ours": OURS, "libraries": LIBRARIES}, args.rounds)
rows = []
compare(rows, "first fit, a new process", "ours", wall, goal=">= 0.91 (1.1x)")
compare(rows, "first fit, CPU seconds", "ours", cpu, goal=">= 0.91 (1.1x)")
write(args, "bench_first_fit", rows)
