package templates_test

import (
	"os"
	"path/filepath"
	"testing"
)

// checks are short programs beside a template's scripts; each fails when what the template claims to compute is not so.
var checks = map[string]string{
	// What a force field sees must not depend on where a cluster is, how it is turned and how its atoms are counted; forces must follow from energies.
	"MACE": `
import torch, evaluate, experiment
positions = evaluate.sample(3, 4, 20)
turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))[0]
order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
moved = (positions @ turn + 0.7)[:, order]
model = experiment.AtomicEnergies(positions, 0)
for energy in (evaluate.reference_energy, model):
    a, b = energy(positions), energy(moved)
    assert torch.allclose(a, b, atol=1e-9), (a, b)
    force = evaluate.forces(energy, positions)[1]
    assert torch.allclose(evaluate.forces(energy, moved)[1], (force @ turn)[:, order], atol=1e-8)
    assert force.sum(dim=1).abs().max() < 1e-8
    for atom, axis in ((0, 0), (4, 2)):
        step = torch.zeros_like(positions)
        step[:, atom, axis] = 1e-5
        with torch.no_grad():
            slope = (energy(positions + step) - energy(positions - step)) / 2e-5
        assert torch.allclose(-slope, force[:, atom, axis], atol=1e-5)
assert torch.allclose(experiment.features(positions)[:, order], experiment.features(moved), atol=1e-9)
far = evaluate.fade(torch.tensor([evaluate.CUTOFF - 1e-6, evaluate.CUTOFF + 1]))
assert far.abs().max() < 1e-9
`,
	// The divergence must be that of known densities, and a sample of the same density must have none; the schedule must end in noise.
	"2d_diffusion": `
import numpy as np, torch, evaluate, experiment
stream = np.random.RandomState(0)
real = stream.standard_normal((4000, 2))
shifted = stream.standard_normal((4000, 2)) + [1.0, 0.5]
wide = 2 * stream.standard_normal((4000, 2))
assert abs(evaluate.kl(real, stream.standard_normal((4000, 2)))) < 0.05
assert abs(evaluate.kl(real, shifted) - 0.625) < 0.08, evaluate.kl(real, shifted)  # half the squared distance
truth = 2 * np.log(2) - 1 + 0.25
assert abs(evaluate.kl(real, wide) - truth) < 0.08, evaluate.kl(real, wide)
assert evaluate.coverage(real, real[:2000]) > 0.8 > 0.2 > evaluate.coverage(real, real[:20])
assert evaluate.precision(real, shifted + 30) == 0
for levels in (10, 100, 1000):
    kept = torch.cumprod(1 - experiment.noise_schedule(levels).clamp(max=0.999), dim=0)
    assert (kept.diff() < 0).all() and kept[-1] < 1e-3, (levels, kept[-1])
for density in evaluate.DENSITIES:
    a = evaluate.load(density, 0)
    assert {split: len(points) for split, points in a.items()} == evaluate.COUNTS
    assert not np.array_equal(a["test"], a["second"]) and np.array_equal(a["test"], evaluate.load(density, 0)["test"])
`,
	// Gradients are written by hand: they must be those of the loss. The split must leave no pair in both parts.
	"grokking": `
import numpy as np, evaluate, experiment
for operation in evaluate.OPERATIONS:
    (seen, labels), (unseen, _) = evaluate.load(operation, 11, 0, 0.5)
    assert len({tuple(p) for p in seen} | {tuple(p) for p in unseen}) == 121 == len(seen) + len(unseen)
    assert labels.min() >= 0 and labels.max() < 11
model = experiment.Model(11, 0, experiment.SETTINGS)
model.weights = {name: w.astype(np.float64) for name, w in model.weights.items()}
loss, _, gradients = model.gradients(seen, labels)
stream = np.random.RandomState(1)
for name, w in model.weights.items():
    for _ in range(4):
        at = tuple(stream.randint(n) for n in w.shape)
        kept, values = w[at], []
        for step in (1e-6, -1e-6):
            w[at] = kept + step
            values.append(experiment.cross_entropy(model.forward(seen)[0], labels)[0])
        w[at] = kept
        slope = (values[0] - values[1]) / 2e-6
        assert abs(slope - gradients[name][at]) < 1e-6 + 1e-4 * abs(slope), (name, slope, gradients[name][at])
`,
	// R0 must be the spectral radius of the next generation for all groups; nobody may be lost; fewer contacts must lower the peak.
	"seir": `
import numpy as np, evaluate, experiment
for groups in experiment.GROUPS:
    shares, mixing = experiment.mixing_matrix(groups)
    assert abs(np.abs(np.linalg.eigvals(mixing)).max() - 1) < 1e-12 and abs(shares.sum() - 1) < 1e-12
curve, ever = experiment.simulate(3, 2.8, 2000, 200, "one")
assert len(curve) == 200 and curve.min() >= 0 and 5 <= ever <= 2000
again = experiment.simulate(3, 2.8, 2000, 200, "one")
assert np.array_equal(curve, again[0]) and ever == again[1]
peaks = [[evaluate.measure(*experiment.simulate(s, 2.8, 2000, 200, "one"), 2000) for s in range(20)]]
experiment.contact_factor = lambda day, infectious, people: 0.35 if infectious > 0.01 * people else 1.0
peaks.append([evaluate.measure(*experiment.simulate(s, 2.8, 2000, 200, "one"), 2000) for s in range(20)])
normal, fewer = (np.mean([m["infected_peak"] for m in part]) for part in peaks)
assert fewer < 0.3 * normal, (normal, fewer)
one, some, none = (evaluate.summarise(np.full((3, 9), 40), ever, 2000, 0.0) for ever in ([5, 6, 900], [800, 900, 5], [5, 6, 7]))
assert one["final_info_dict"]["total_infected"] == [0.45] and "total_infected" not in one["stderrs"]
assert some["means"]["total_infected"] == 0.425 and abs(some["means"]["total_infected_all"] - 0.284167) < 1e-9
assert none["means"]["infected_peak"] == 0.02 and none["means"]["extinction_share"] == 1
`,
	// A model must not see what it is to tell; the perfect model's loss must be below that of counting characters.
	"nanoGPT": `
import math, torch, evaluate, experiment
from settings import SIZES
size = SIZES["smoke"]
splits, characters, floor = evaluate.load("words")
model = experiment.GPT(len(characters), size, 0)
text = splits["test"][None, :size.context].clone()
before = model(text)
text[0, size.context // 2] = (text[0, size.context // 2] + 1) % len(characters)
after = model(text)
assert torch.equal(before[0, :size.context // 2], after[0, :size.context // 2])
assert not torch.equal(before[0, size.context // 2:], after[0, size.context // 2:])
share = torch.bincount(splits["test"], minlength=len(characters)).double() / len(splits["test"])
alone = float(-(share[share > 0] * share[share > 0].log()).sum())
assert 0 < floor < alone < math.log(len(characters)) + 1e-9, (floor, alone)
assert not torch.equal(splits["test"][:1000], splits["train"][:1000]) and not torch.equal(splits["test"][:1000], splits["validation"][:1000])
`,
	// Probes and chance: labels that mean nothing cannot be read, and the models do know their brackets.
	"probes": `
import torch, evaluate, experiment, model as models
splits = evaluate.load(0, 60)
_, depths, tops = splits["train"]
assert int(depths.max()) <= evaluate.DEEPEST and int(tops.max()) == 2 and int(depths.min()) == 0
for characters, depth, _ in splits.values():
    opened = (characters < 3).long().cumsum(dim=1) - ((characters >= 3) & (characters < 6)).long().cumsum(dim=1)
    assert torch.equal(opened, depth)
net = models.load(0)
with torch.no_grad():
    seen = {split: net(data[0]) for split, data in splits.items()}
assert evaluate.model_accuracy(seen["test"][0], splits["test"][2]) > 0.98
keep = {split: data[2] >= 0 for split, data in splits.items()}
train = seen["train"][1][2][keep["train"]]
shuffled = tops[keep["train"]][torch.randperm(len(train), generator=torch.Generator().manual_seed(0))]
probe = experiment.fit_kinds(train, shuffled)
chance = float((probe(seen["test"][1][2][keep["test"]]) == splits["test"][2][keep["test"]]).double().mean())
assert 0.2 < chance < 0.47, chance
wanted = evaluate.targets(tops, 0)
assert bool((wanted[tops >= 0] != tops[tops >= 0]).all()) and bool((wanted[tops < 0] < 0).all())
`,
	// The density of a move must be one: it sums to 1 over the plane.
	"sketch_rnn": `
import torch, evaluate, experiment
torch.manual_seed(0)
output = torch.randn(6 * experiment.MIXTURES + 3)
axis = torch.linspace(-12, 12, 601)
plane = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1).reshape(-1, 2)
move, pen = experiment.move_loss(output.expand(len(plane), -1), plane, torch.zeros(len(plane), dtype=torch.long))
total = float(torch.exp(-move).sum() * (axis[1] - axis[0]) ** 2)
assert abs(total - 1) < 0.01, total
states = [float(experiment.move_loss(output[None], plane[:1], torch.tensor([k]))[1]) for k in range(3)]
assert abs(sum(torch.exp(torch.tensor(-s)) for s in states) - 1) < 1e-5
for dataset in ("face", "house"):
    data = evaluate.load(dataset, 0, 40)
    assert len({len(part) > 0 for part in data.values()}) == 1
    assert not any(a.shape == b.shape and (a == b).all() for a in data["train"] for b in data["test"])
`,
	// An empty field must be white; the true field must render its own views; factors must be what they say.
	"tensorf": `
import torch, evaluate, experiment
data = evaluate.load("few", 0, 2, 12)
rays, truth = data["test"][0]
empty = lambda points: (torch.zeros(len(points)), torch.zeros(len(points), 3))
assert torch.allclose(evaluate.render(empty, rays, 32), torch.ones(len(truth), 3), atol=1e-5)
assert evaluate.psnr(evaluate.render(evaluate.true_field("few"), rays, evaluate.FINE), truth) > 60
assert evaluate.psnr(truth, truth) == 100 and abs(evaluate.ssim(truth, truth) - 1) < 1e-5
assert abs(evaluate.psnr(truth + 0.1, truth) - 20) < 1e-3
assert abs(rays[1].norm(dim=1) - 1).max() < 1e-5 and abs(rays[0].norm(dim=1) - evaluate.DISTANCE).max() < 1e-4
field = experiment.Field(10, 0)
assert sum(p.numel() for p in field.parameters()) == 3 * (experiment.DENSITY_RANK + experiment.COLOUR_RANK) * 110 + 9 * experiment.COLOUR_RANK
density, colour = field(torch.tensor([[2.0, 0, 0], [0.1, 0.2, 0.3]]))
assert density[0] == 0 and density[1] > 0 and colour.min() >= 0 and colour.max() <= 1
`,
	// The simulated chances must be those of the catalogue, and no forecast can beat them on average; the split must keep time's order.
	"earthquake-prediction": `
import numpy as np, evaluate
training, validation, test = evaluate.split(3000)
assert training.start in (0, None) and training.stop <= validation.start and validation.stop <= test.start and test.stop in (3000, None)
counts, energy, chance = evaluate.catalogue(0, 0.4, 8, 3000, 1.2)
happened = counts > 0
assert chance.min() > 0 and chance.max() < 1
spread = np.sqrt((chance * (1 - chance)).sum())
assert abs(happened.sum() - chance.sum()) < 4 * spread, (happened.sum(), chance.sum(), spread)
best = evaluate.measure(chance[test], chance[test], happened[test])
flat = evaluate.measure(np.full_like(chance[test], chance.mean()), chance[test], happened[test])
assert abs(best["information_gap"]) < 1e-9 and flat["information_gap"] > 0.1 and abs(flat["auc"] - 0.5) < 1e-9, (best, flat)
`,
	// No picture may be in two parts.
	"mobilenetV3": `
import numpy as np, torch, evaluate
for dataset in ("digits", "shapes"):
    parts = evaluate.load(dataset, 0, 60)
    seen = {split: {bytes(image.contiguous().numpy()) for image in data[0]} for split, data in parts.items()}
    names = sorted(seen)
    assert len(names) == 3
    for i, a in enumerate(names):
        for b in names[i + 1:]:
            assert not seen[a] & seen[b], (dataset, a, b)
`,
}

// TestTemplates_compute_what_they_say runs them beside the templates' own scripts.
func TestTemplates_compute_what_they_say(t *testing.T) {
	for name, code := range checks {
		t.Run(name, func(t *testing.T) {
			dir := unpack(t, name)
			if err := os.WriteFile(filepath.Join(dir, "check.py"), []byte(code), 0o644); err != nil {
				t.Fatal(err)
			}
			python(t, dir, "smoke", "check.py")
		})
	}
}
